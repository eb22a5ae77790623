"""The most memory that this process ever held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_resident_mb(status: Path = Path("/proc/self/status")) -> float:
    """Peak resident memory in units of 1,000,000 bytes: code, weights, buffers, and mapped files as far as they were read."""
    # Linux hands ru_maxrss on from the process that started this one, however large that was; VmHWM is this process's own.
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
