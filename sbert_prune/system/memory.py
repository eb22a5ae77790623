"""The peak memory of this process or its GPU, and errors that mean there was none left."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def peak_memory_mb(device: torch.device | None = None, *, status: Path = Path("/proc/self/status")) -> float:
    """Return the peak memory in units of 1,000,000 bytes: of the device if it is a GPU, else of this process.

    A process's memory is its resident set: code, weights, buffers, and mapped files as far as they were read.

    Args:
        device: Where the model runs. None is the CPU.
        status: The file in which Linux reports the memory of this process.
    """
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 1e6
    # On Linux, ru_maxrss of a new program starts at the size of the process that started it; VmHWM starts at zero.
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


_OUT_OF_MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
    "could not create a primitive",  # oneDNN, if it cannot allocate the code that it generates
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that no memory was left, on a CPU or a GPU."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _OUT_OF_MEMORY_PHRASES)
