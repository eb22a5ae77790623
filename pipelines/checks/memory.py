"""The memory that is left, against what training takes."""

from __future__ import annotations

import sys

from pipelines.doctor.findings import Finding, in_bytes
from sbert_prune.system.limits import Limits

_A_PARAMETER = 16
"""Bytes of training in float32: the weight, its gradient, and AdamW's two moments."""

_BESIDES = 1_500_000_000
"""Bytes of the libraries, the rows, and the activations of a batch."""


def needed_memory(parameters: int) -> int:
    """Bytes that training takes, roughly."""
    return _A_PARAMETER * parameters + _BESIDES


def check_memory(limits: Limits, parameters: int | None) -> Finding:
    """parameters: of the base; None where that is not known."""
    left = limits.memory_left()
    if parameters is None:
        return Finding("memory", "ok", f"{in_bytes(left)} left; what training takes is known once the base is")
    needed = needed_memory(parameters)
    told = f"{in_bytes(left)} left; training {parameters / 1e6:,.0f} M parameters takes about {in_bytes(needed)}"
    if needed <= left:
        return Finding("memory", "ok", told)
    advice = "Training will be short of memory. See what holds it, and end that; or take a machine with more, or a smaller base."
    return Finding("memory", "warn", told, advice, "ps aux -m | head" if sys.platform == "darwin" else "ps aux --sort=-rss | head")
