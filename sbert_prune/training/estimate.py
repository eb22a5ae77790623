"""How long a phase will take, told by some of its optimizer steps on a model that is thrown away."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sbert_prune.data.rows import take
from sbert_prune.data.triplets import sample_by_premise, triplets
from sbert_prune.training.embedding import DevPairs
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import NliRow, StsRow
    from sbert_prune.recipe.settings import DistilSettings, NliSettings, PhaseSettings, StsSettings
    from sbert_prune.training.device import Hardware
    from sbert_prune.training.setup import Progress
    from sbert_prune.training.teacher import Teacher

_WARM_UP = 10
"""Optimizer steps before those that are timed: the first ones allocate. Phases report after every tenth."""
_STEPS = 20


@dataclass(frozen=True)
class Part:
    """One phase as a rehearsal sees it.

    examples: triplets, pairs or sentences of one epoch.  draw: some of the rows, about so many examples' worth.
    sentences: of such rows.  train: one phase on them.
    """

    settings: PhaseSettings
    examples: int
    draw: Callable[[int], Sequence[Any]]
    sentences: Callable[[Sequence[Any]], set[str]]
    train: Callable[[PhaseTrainer, Sequence[Any], Any], None]

    @property
    def optimizer_steps(self) -> int:
        """Of the whole phase; batches without repeated sentences may need a few more."""
        batches = math.ceil(self.examples / self.settings.batch_size)
        return max(1, math.ceil(batches * self.settings.epochs / self.settings.accumulate))


@dataclass(frozen=True)
class Estimate:
    """What a phase will take, in seconds: one optimizer step, and all looks at dev and embeddings of the teacher together."""

    examples: int
    optimizer_steps: int
    per_step: float
    besides: float

    @property
    def seconds(self) -> float:
        """All in all."""
        return self.optimizer_steps * self.per_step + self.besides


def nli_part(rows: Sequence[NliRow], settings: NliSettings, seed: int) -> Part:
    """The first phase."""
    used = rows if settings.max_rows is None else sample_by_premise(rows, settings.max_rows, seed=seed)
    examples = len(triplets(used)) if settings.loss == "mnrl" else len(used)
    return Part(
        settings,
        examples,
        lambda wanted: sample_by_premise(used, min(len(used), math.ceil(1.2 * wanted * len(used) / examples) + 50), seed=seed),
        lambda drawn: {text for row in drawn for text in row.sentences},
        lambda healer, drawn, short: healer.train_nli(drawn, short),
    )


def sts_part(rows: Sequence[StsRow], settings: StsSettings) -> Part:
    """The second phase."""
    examples = min(len(rows), settings.max_rows or len(rows))
    return Part(
        settings,
        examples,
        lambda wanted: _evenly(rows, wanted),
        lambda drawn: {text for row in drawn for text in row.sentences},
        lambda healer, drawn, short: healer.train_sts(drawn, short),
    )


def distil_part(texts: Sequence[str], settings: DistilSettings) -> Part:
    """Distillation."""
    return Part(settings, len(texts), lambda wanted: _evenly(texts, wanted), set, lambda healer, drawn, short: healer.distil(drawn, short))


def _evenly(rows: Sequence[Any], wanted: int) -> list[Any]:
    return take(rows, range(0, len(rows), max(1, len(rows) // wanted)))[:wanted]


def estimate_training(
    model: SentenceTransformer, part: Part, hardware: Hardware, *, dev: Sequence[StsRow], teacher: Teacher | None
) -> Estimate:
    """Take some optimizer steps on a model, which is worth nothing afterwards, and time them."""
    settings, clock = part.settings, _Clock()
    wanted = (_WARM_UP + _STEPS + 1) * settings.batch_size * settings.accumulate
    drawn = part.draw(wanted)
    epochs = max(1.0, 1.3 * wanted / max(1, min(part.examples, len(drawn))))
    short = settings.model_copy(update={"epochs": epochs, "max_rows": None, "patience": None})
    setup = TrainerSetup(hardware, 0, report=clock.report, notice=lambda _: None)
    besides = 0.0
    if teacher is not None:
        texts = list(part.sentences(drawn))[:512]
        began = time.perf_counter()
        teacher.compute(texts, hardware, tick=lambda: None)
        distinct = len(part.sentences(drawn)) * max(1.0, part.examples / wanted)
        besides += (time.perf_counter() - began) * distinct / len(texts)
    with suppress(_EnoughError):
        part.train(PhaseTrainer(model, setup, teacher=teacher), drawn, short)
    pairs = DevPairs.of(model, dev)
    began = time.perf_counter()
    pairs.score(model, hardware)
    besides += (time.perf_counter() - began) * max(1, math.floor(settings.epochs / settings.evaluate_every))
    return Estimate(part.examples, part.optimizer_steps, clock.per_step, besides)


class _EnoughError(Exception):
    """All optimizer steps that are timed have been taken."""


@dataclass
class _Clock:
    """When each report came, by its optimizer step."""

    told: dict[int, float] = field(default_factory=dict)

    def report(self, progress: Progress) -> None:
        self.told[progress.optimizer_step] = time.perf_counter()
        if progress.optimizer_step >= _WARM_UP + _STEPS:
            raise _EnoughError

    @property
    def per_step(self) -> float:
        """Seconds."""
        first, last = min(self.told), max(self.told)
        return (self.told[last] - self.told[first]) / max(1, last - first)
