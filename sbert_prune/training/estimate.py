"""Estimate how long a phase will take from a few timed optimizer steps on a model that is discarded."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sbert_prune.training.embedding import DevPairs
from sbert_prune.training.phases import PHASES, PhaseTrainer
from sbert_prune.training.setup import TrainerSetup

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow
    from sbert_prune.recipe.settings import AnyPhaseSettings
    from sbert_prune.training.device import Hardware
    from sbert_prune.training.setup import Progress
    from sbert_prune.training.teacher import Teacher

_WARM_UP = 10
"""Optimizer steps before the timed ones: the first ones allocate memory. Phases report after every tenth."""
_STEPS = 20


@dataclass(frozen=True)
class Part:
    """One phase to be estimated.

    Attributes:
        phase: Its name.
        rows: All of its rows.
        settings: Its settings.
        seed: Draws rows where `max_rows` limits them.
    """

    phase: str
    rows: Sequence[Any]
    settings: AnyPhaseSettings
    seed: int

    @cached_property
    def used(self) -> Sequence[Any]:
        """The rows that the phase trains on."""
        return PHASES[self.phase].limited(self.rows, self.settings, seed=self.seed)

    @cached_property
    def examples(self) -> int:
        """Triplets, pairs or sentences in one epoch."""
        return PHASES[self.phase].count(self.used, self.settings)

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps of the whole phase; batches without repeated sentences may need a few more."""
        batches = math.ceil(self.examples / self.settings.batch_size)
        return max(1, math.ceil(batches * self.settings.epochs / self.settings.accumulate))

    def draw(self, num_examples: int) -> Sequence[Any]:
        """Return some of the rows, about as many as make this number of examples."""
        num_rows = math.ceil(1.2 * num_examples * len(self.used) / self.examples) + 50
        return PHASES[self.phase].sample(self.used, min(len(self.used), num_rows), self.seed)


@dataclass(frozen=True)
class Estimate:
    """The expected duration of a phase.

    Attributes:
        examples: Triplets, pairs or sentences in one epoch.
        optimizer_steps: Optimizer steps of the whole phase.
        per_step: Seconds for one optimizer step.
        besides: Seconds for all dev evaluations and the teacher's embeddings together.
    """

    examples: int
    optimizer_steps: int
    per_step: float
    besides: float

    @property
    def seconds(self) -> float:
        """Seconds for the whole phase."""
        return self.optimizer_steps * self.per_step + self.besides


def estimate_training(
    model: SentenceTransformer, part: Part, hardware: Hardware, *, dev: Sequence[StsRow], teacher: Teacher | None
) -> Estimate:
    """Take and time some optimizer steps on a model, whose weights are of no use afterwards.

    Args:
        model: The sentence model; its weights change.
        part: The phase.
        hardware: The device and precision.
        dev: The pairs that the phase evaluates on.
        teacher: The teacher whose embeddings the phase needs, if any.

    Returns:
        The expected duration.
    """
    settings, clock = part.settings, _Clock()
    num_examples = (_WARM_UP + _STEPS + 1) * settings.batch_size * settings.accumulate
    drawn = part.draw(num_examples)
    epochs = max(1.0, 1.3 * num_examples / max(1, min(part.examples, len(drawn))))
    short = settings.model_copy(update={"epochs": epochs, "max_rows": None, "patience": None})
    setup = TrainerSetup(hardware, 0, report=clock.report, notice=lambda _: None)
    besides = 0.0
    if teacher is not None:
        sentences = {text for row in drawn for text in row.sentences}
        texts = list(sentences)[:512]
        began = time.perf_counter()
        teacher.compute(texts, hardware, tick=lambda _: None)
        distinct = len(sentences) * max(1.0, part.examples / num_examples)
        besides += (time.perf_counter() - began) * distinct / len(texts)
    with suppress(_EnoughError):
        PhaseTrainer(model, setup, teacher=teacher).train(part.phase, drawn, short)
    pairs = DevPairs.of(model, dev)
    began = time.perf_counter()
    pairs.score(model, hardware)
    besides += (time.perf_counter() - began) * max(1, math.floor(settings.epochs / settings.evaluate_every))
    return Estimate(part.examples, part.optimizer_steps, clock.per_step, besides)


class _EnoughError(Exception):
    """Raised when all timed optimizer steps have been taken."""


@dataclass
class _Clock:
    """The time of each report, by its optimizer step."""

    times: dict[int, float] = field(default_factory=dict)

    def report(self, progress: Progress) -> None:
        self.times[progress.optimizer_step] = time.perf_counter()
        if progress.optimizer_step >= _WARM_UP + _STEPS:
            raise _EnoughError

    @property
    def per_step(self) -> float:
        """Seconds for one optimizer step."""
        first, last = min(self.times), max(self.times)
        return (self.times[last] - self.times[first]) / max(1, last - first)
