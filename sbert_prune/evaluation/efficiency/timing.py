"""Alternating timing of several models, call by call, so that load on the machine slows all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import binom

from sbert_prune.system.limits import this_machine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rival = Callable[[list[str]], object]
    """A function to time: it takes a batch, and has finished its work when it returns."""
    Clock = Callable[[], float]
    """Seconds since some moment."""

LEAST_PAIRS = 6
"""With fewer pairs, even the full range of the ratios covers their median with less than 95 %."""
_MOST_PAIRS = 400
_LEVEL = 0.95

MACHINE, DISTURBED = "machine", "disturbed"
"""The tags with the conditions of a measurement of absolute times."""

_NOTHING = 0.5  # cores that other processes may use although none is left to them


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of paired ratios, with its 95 % interval."""

    value: float
    low: float
    high: float


def time_in_turn(
    rivals: Sequence[Rival], batches: Sequence[list[str]], *, seconds: float, clock: Clock = time.perf_counter
) -> NDArray[np.float64]:
    """Time every rival on every batch alternately, in as many whole passes over the batches as fit into the time.

    Each rival is warmed up on the first batch. The rival that starts changes from batch to batch.

    Args:
        rivals: The functions to time.
        batches: The batches of texts.
        seconds: Time to use; exceeded if needed to time LEAST_PAIRS calls of each rival.
        clock: Seconds since some moment.

    Returns:
        Seconds of each call. *Shape:* (passes, batches, rivals)
    """
    begin = clock()
    for warm_up in rivals:
        warm_up(batches[0])
    passes: list[list[list[float]]] = []
    last = 0.0
    while _needs_another_pass(len(passes) * len(batches), fits=clock() - begin + last <= seconds):
        start = clock()
        passes.append(
            [_time_batch(rivals, batch, clock, first=len(passes) + index) for index, batch in enumerate(batches)]
        )
        last = clock() - start
    return np.array(passes)


def median_ratio(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> Ratio:
    """Return the median of the paired ratios, with its 95 % interval from order statistics.

    The interval covers the median of independent ratios with at least 95 %, whatever the distribution of the noise.
    With fewer than LEAST_PAIRS pairs it is their range. *Shapes:* any, the same for both
    """
    ratios = np.sort((numerators / denominators).ravel())
    rank = max(1, int(binom.ppf((1 - _LEVEL) / 2, len(ratios), 0.5)))
    return Ratio(float(np.median(ratios)), float(ratios[rank - 1]), float(ratios[-rank]))


def _needs_another_pass(pairs: int, *, fits: bool) -> bool:
    return pairs < LEAST_PAIRS or (fits and pairs < _MOST_PAIRS)


def _time_batch(rivals: Sequence[Rival], batch: list[str], clock: Clock, *, first: int) -> list[float]:
    """Time each rival on one batch, starting with rival `first`. Returns the seconds in the order of the rivals."""
    times = [0.0] * len(rivals)
    for step in range(len(rivals)):
        index = (first + step) % len(rivals)
        start = clock()
        rivals[index](batch)
        times[index] = clock() - start
    return times


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine, device and threads of a measurement, and what else the machine did.

    Attributes:
        device: Name of the device.
        threads: Threads of one operation.
        interop_threads: Threads for parallel operations.
        omp_num_threads: OMP_NUM_THREADS of the environment, or None.
        machine: Its processor and number of cores.
        others: Cores that other processes used meanwhile; None where nothing was measured.
    """

    device: str
    threads: int
    interop_threads: int
    omp_num_threads: str | None
    machine: str
    others: float | None = None

    @property
    def tags(self) -> dict[str, str]:
        """What an absolute latency depends on, as tags of runs and versions."""
        where = f"{self.machine}, {self.device}, {self.threads} threads"
        return {MACHINE: where, DISTURBED: self.disturbance or "no"}

    @property
    def disturbance(self) -> str:
        """Why absolute times are not to be relied on; "" where they are."""
        free = max(0, (os.cpu_count() or 1) - self.threads) + _NOTHING
        return f"other programs used {self.others:.1f} cores meanwhile" if (self.others or 0.0) > free else ""

    def __str__(self) -> str:
        omp = f"OMP_NUM_THREADS={self.omp_num_threads}" if self.omp_num_threads else "OMP_NUM_THREADS not set"
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.device}, {threads} ({omp}; {self.interop_threads} between operations)"


def conditions_on(device: torch.device, *, others: float | None = None) -> Conditions:
    """Return the conditions of this process; `others` are the cores that other processes used."""
    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    omp, threads = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    return Conditions(name, threads, torch.get_num_interop_threads(), omp, this_machine(), others)


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished its work: calls to a GPU return early."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
