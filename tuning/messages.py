"""The messages between the command and the process of a trial."""

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

    from sbert_prune.inputs.texts import TrainingTexts
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.training.setup import Progress, Report


@dataclass(frozen=True)
class TrainingRows:
    """What trials train on.

    Attributes:
        texts: The rows of the phases, with dev.
        teacher: The model whose embeddings are learned; None where labels alone teach.
    """

    texts: TrainingTexts
    teacher: SavedModel | None


@dataclass(frozen=True)
class Task:
    """One training.

    Attributes:
        recipe: The recipe to train.
        base: The model to prune.
        rows: What to train on.
        folder: Where the trained model is saved.
        run_id: The MLflow run that records the training.
        threads: Number of threads for torch.
        max_size_mb: A larger variant is rejected before it is trained; None accepts any size.
    """

    recipe: Recipe
    base: SavedModel
    rows: TrainingRows
    folder: Path
    run_id: str
    threads: int
    max_size_mb: float | None = None


@dataclass(frozen=True)
class RungScore:
    """The dev score that a trial sends at a rung.

    Attributes:
        number: Number of the rung, from 0.
        score: Dev Spearman; None for a model whose embeddings have no order (collapsed).
        seconds: Seconds of training so far.
        has_memory: Whether another trial could be trained beside this one while it waits.
    """

    number: int
    score: float | None
    seconds: float
    has_memory: bool


@dataclass(frozen=True)
class Trained:
    """The result of a training that reached its end.

    Attributes:
        metrics: Dev score, sizes and seconds of training, by name.
        series: Metrics by optimizer step.
        dev_pairs: The prediction for each dev pair, as JSON.
        probes: Embeddings of PROBES, to compare with those of the saved model.
    """

    metrics: dict[str, float]
    series: list[tuple[int, dict[str, float]]]
    dev_pairs: str
    probes: NDArray[np.float32]


@dataclass(frozen=True)
class Failed:
    """The reason why a trial failed."""

    reason: str


@dataclass(frozen=True)
class TooLarge:
    """The size of a variant that exceeds the limit before it is trained."""

    size_mb: float


_STEP_FIELDS = {"optimizer_step", "num_optimizer_steps"}

FIRST_RUNG = 1 / 3
"""The share of a phase after which a trial sends its first score."""


CONTINUE, STOP = True, False
"""The answers to a RungScore."""


class StoppedError(Exception):
    """The command has stopped the trial."""


class ParentLostError(Exception):
    """The command has ended."""


class TrialReporter:
    """Sends the scores of a trial to the command while it trains."""

    def __init__(self, line: Connection, phases: Sequence[str], device: torch.device) -> None:
        self._line, self._last_phase, self._device = line, phases[-1], device
        self._started, self._num_scores, self._steps = time.perf_counter(), 0, 0
        self.series: list[tuple[int, dict[str, float]]] = []

    @property
    def seconds(self) -> float:
        """Return the seconds of training so far, without waiting."""
        return time.perf_counter() - self._started

    def of(self, phase: str) -> Report:
        """Return the report function of a phase.

        It sends a score a third into the phase and, unless the phase is the last one, at its end.
        """

        def report(progress: Progress) -> None:
            values = {
                f"{phase}/{key}": value
                for key, value in asdict(progress).items()
                if value is not None and key not in _STEP_FIELDS
            }
            self.series.append((self._steps + progress.optimizer_step, values))
            is_end = progress.optimizer_step == progress.num_optimizer_steps
            if is_end:
                self._steps += progress.num_optimizer_steps
            is_first_rung = progress.optimizer_step == max(1, round(FIRST_RUNG * progress.num_optimizer_steps))
            if phase != self._last_phase if is_end else is_first_rung:
                self._send_score(progress.dev_score)

        return report

    def _send_score(self, score: float | None) -> None:
        """Send a score and wait for the answer, however long that takes. Raises StoppedError where it is no."""
        self._line.send(RungScore(self._num_scores, score, self.seconds, self._has_memory()))
        self._num_scores += 1
        waiting_since = time.perf_counter()
        if not self._line.recv():
            raise StoppedError
        self._started += time.perf_counter() - waiting_since  # waiting does not count as training

    def _has_memory(self) -> bool:
        """Return whether another trial would fit into the free memory while this one waits."""
        if self._device.type == "cuda":
            return int(torch.cuda.mem_get_info(self._device)[0]) > 2 * torch.cuda.max_memory_reserved(self._device)
        return Limits().memory_left() > 2 * int(psutil.Process().memory_info().rss)

    def tick(self, _doing: str, _share: float) -> None:
        """Raise ParentLostError where the command has ended."""
        parent = parent_process()
        if parent is not None and not parent.is_alive():
            raise ParentLostError
