"""What the process of a trial is given, and what it says."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from typing import TYPE_CHECKING

import psutil
import torch

from sbert_prune.system.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pipelines.inputs.texts import TrainingTexts
    from sbert_prune.models.lineage import DataRecord
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.training.setup import Progress, Report


@dataclass(frozen=True)
class Rows:
    """What trials read. sentences: for distillation, with their record.  teacher: where somebody teaches."""

    texts: TrainingTexts
    sentences: tuple[list[str], DataRecord] | None
    teacher: SavedModel | None


@dataclass(frozen=True)
class Task:
    """One training. folder: where its model goes.  run_id: of the run that records it.  threads: that it computes with.

    max_size_mb: a larger one ends before it is trained.
    """

    recipe: Recipe
    base: SavedModel
    rows: Rows
    folder: Path
    run_id: str
    threads: int
    max_size_mb: float | None = None


@dataclass(frozen=True)
class RungScore:
    """What a trial says on its way. number: of the look, from 0.  score: dev, None for a model without any order.  seconds: so far.

    has_room: whether another could be trained beside it while it waits.
    """

    number: int
    score: float | None
    seconds: float
    has_room: bool


@dataclass(frozen=True)
class Trained:
    """What a trial says at its end. series: of metrics, by optimizer step.  dev_pairs: as text.  probes: its embeddings of PROBES."""

    metrics: dict[str, float]
    series: list[tuple[int, dict[str, float]]]
    dev_pairs: str
    probes: NDArray[np.float32]


@dataclass(frozen=True)
class Failed:
    """Why a trial could not be done."""

    reason: str


@dataclass(frozen=True)
class TooLarge:
    """A variant that is over the limit before it is trained."""

    size_mb: float


_PLACES = {"optimizer_step", "num_optimizer_steps"}

EARLY = 1 / 3
"""The share of a phase after which a trial is first looked at."""


class StoppedError(Exception):
    """The trial is not to go on."""


class LostError(Exception):
    """Nobody listens any more."""


class TrialReporter:
    """Speaks for a trial while it trains."""

    def __init__(self, line: Connection, phases: Sequence[str], device: torch.device) -> None:
        self._line, self._last, self._device = line, phases[-1], device
        self._began, self._looks, self._steps = time.perf_counter(), 0, 0
        self.series: list[tuple[int, dict[str, float]]] = []

    @property
    def seconds(self) -> float:
        """Since training began."""
        return time.perf_counter() - self._began

    def of(self, phase: str) -> Report:
        """What a phase reports to: a look is told a third into it and, unless it is the last, at its end."""

        def report(progress: Progress) -> None:
            values = {f"{phase}/{key}": value for key, value in asdict(progress).items() if value is not None and key not in _PLACES}
            self.series.append((self._steps + progress.optimizer_step, values))
            ends = progress.optimizer_step == progress.num_optimizer_steps
            if ends:
                self._steps += progress.num_optimizer_steps
            early = progress.optimizer_step == max(1, round(EARLY * progress.num_optimizer_steps))
            if phase != self._last if ends else early:
                self._look(progress.dev_score)

        return report

    def _look(self, score: float | None) -> None:
        """Tell it, wait for an answer however long it takes, and end the trial where it is no."""
        self._line.send(RungScore(self._looks, score, self.seconds, self._has_room()))
        self._looks += 1
        asked = time.perf_counter()
        if not self._line.recv():
            raise StoppedError
        self._began += time.perf_counter() - asked  # waiting is no training

    def _has_room(self) -> bool:
        """Whether another one could be trained in the memory that is left while this one waits."""
        if self._device.type == "cuda":
            return int(torch.cuda.mem_get_info(self._device)[0]) > 2 * torch.cuda.max_memory_reserved(self._device)
        return Limits().memory_left() > 2 * int(psutil.Process().memory_info().rss)

    def tick(self) -> None:
        """End where nobody listens any more."""
        parent = parent_process()
        if parent is not None and not parent.is_alive():
            raise LostError
