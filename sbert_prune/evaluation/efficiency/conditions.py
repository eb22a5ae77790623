"""What a time was measured on."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch


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
