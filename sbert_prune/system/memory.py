"""The most memory that this process ever held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


def peak_resident_mb(status: Path = Path("/proc/self/status")) -> float:
    """Peak resident memory in units of 1,000,000 bytes: code, weights, buffers, and mapped files as far as they were read."""
    # Linux hands ru_maxrss on from the process that started this one, however large that was; VmHWM is this process's own.
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


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
