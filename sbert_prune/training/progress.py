"""Where a phase stands, as it is told, recorded and resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a phase.

    loss, gradient_norm: means since the last report; the norm is the one before clipping.
    dev_score: Spearman on the dev pairs, -1 to 1, where they were looked at; None elsewhere.
    peak_memory_mb: of the process on a CPU, of the device elsewhere, in 10^6 bytes.
    """

    optimizer_step: int
    num_optimizer_steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    sentences_per_s: float
    peak_memory_mb: float
    dev_score: float | None = None


Report = Callable[[Progress], None]
