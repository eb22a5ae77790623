"""How much memory a phase took, and how running out of it looks."""

from __future__ import annotations

import resource
import sys

import torch

_SAYINGS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory", "could not create a primitive")
"""The last is oneDNN's, which has no room for the code that it generates."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, on a CPU or a GPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error).lower() for saying in _SAYINGS)


def peak_memory_mb(device: torch.device) -> float:
    """The most that was ever in use: of the device where it counts its own, of the process elsewhere. 10^6 bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
