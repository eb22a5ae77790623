"""What a trial says while it trains, and hears: it goes on, it waits, or it ends."""

from __future__ import annotations

import time
from dataclasses import asdict
from multiprocessing import parent_process
from typing import TYPE_CHECKING

import psutil
import torch

from sbert_prune.system.limits import Limits
from tuning.messages import Look

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from sbert_prune.training.progress import Progress, Report

_PLACES = {"optimizer_step", "num_optimizer_steps"}

EARLY = 1 / 3
"""The share of a phase after which a trial is first looked at."""


class StoppedError(Exception):
    """The trial is not to go on."""


class LostError(Exception):
    """Nobody listens any more."""


class Teller:
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
        self._line.send(Look(self._looks, score, self.seconds, self._has_room()))
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
