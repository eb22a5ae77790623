"""Rivals timed in turn, call by call, so that a busy machine slows all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import binom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rival = Callable[[list[str]], object]
    """What is timed: it is given a batch, and has done all its work when it returns."""
    Clock = Callable[[], float]
    """Seconds since some moment."""

LEAST_PAIRS = 6
"""With fewer, not even the range of the ratios holds their median with 95 %."""
_MOST_PAIRS = 400
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of paired ratios, with its 95 % interval."""

    value: float
    low: float
    high: float


def time_in_turn(
    rivals: Sequence[Rival], batches: Sequence[list[str]], *, seconds: float, clock: Clock = time.perf_counter
) -> NDArray[np.float64]:
    """Time every rival on every batch, one behind the other, in as many whole passes over the batches as fit into the seconds.

    Each rival is warmed up on the first batch. At least LEAST_PAIRS calls of each are timed, however long that takes; who begins
    changes from call to call. *Shape:* (passes, batches, rivals), in seconds.
    """
    begun = clock()
    for warm_up in rivals:
        warm_up(batches[0])
    passes: list[list[list[float]]] = []
    last = 0.0
    while _goes_on(len(passes) * len(batches), fits=clock() - begun + last <= seconds):
        start = clock()
        passes.append(
            [_one_turn(rivals, batch, clock, first=len(passes) + place) for place, batch in enumerate(batches)]
        )
        last = clock() - start
    return np.array(passes)


def median_ratio(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> Ratio:
    """The median of the pairs' ratios, with the order statistics that hold the median of independent ratios with at least 95 %.

    No shape of the noise is assumed. With fewer than LEAST_PAIRS the interval is their range. *Shapes:* any, the same for both
    """
    ratios = np.sort((numerators / denominators).ravel())
    rank = max(1, int(binom.ppf((1 - _LEVEL) / 2, len(ratios), 0.5)))
    return Ratio(float(np.median(ratios)), float(ratios[rank - 1]), float(ratios[-rank]))


def _goes_on(pairs: int, *, fits: bool) -> bool:
    return pairs < LEAST_PAIRS or (fits and pairs < _MOST_PAIRS)


def _one_turn(rivals: Sequence[Rival], batch: list[str], clock: Clock, *, first: int) -> list[float]:
    """Seconds of each rival on one batch, in the order of the rivals, whoever begins."""
    taken = [0.0] * len(rivals)
    for step in range(len(rivals)):
        number = (first + step) % len(rivals)
        start = clock()
        rivals[number](batch)
        taken[number] = clock() - start
    return taken


@dataclass(frozen=True, slots=True)
class Conditions:
    """threads: of one operation.  interop_threads: of operations side by side.  omp_num_threads: as set in the environment, or None."""

    device: str
    threads: int
    interop_threads: int
    omp_num_threads: str | None

    def __str__(self) -> str:
        given = f"OMP_NUM_THREADS={self.omp_num_threads}" if self.omp_num_threads else "OMP_NUM_THREADS not set"
        return f"{self.device}, {self.threads} thread{'s' * (self.threads != 1)} ({given}; {self.interop_threads} between operations)"


def conditions_on(device: torch.device) -> Conditions:
    """The conditions of this process."""
    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    return Conditions(name, torch.get_num_threads(), torch.get_num_interop_threads(), os.environ.get("OMP_NUM_THREADS"))


def wait_for(device: torch.device) -> None:
    """Return when the device has done what it was asked for: GPUs answer before they have."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
