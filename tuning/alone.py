"""One training that is no trial, in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.errors import TrainingError
from tuning.messages import Failed, Look, Trained
from tuning.trial import run_trial
from tuning.workers import next_word

if TYPE_CHECKING:
    from tuning.messages import Task
    from tuning.workers import Nursery

_GO_ON = True


def train_alone(nursery: Nursery, task: Task) -> Trained:
    """One training that nobody stops, to its end. Raises TrainingError where it fails."""
    child = nursery.start(run_trial, task)
    try:
        while isinstance(word := next_word(child), Look):
            child.answer(_GO_ON)
        if not isinstance(word, Trained):
            raise TrainingError(word.reason if isinstance(word, Failed) else child.how_it_ended())
        return word
    finally:
        nursery.end(child)
