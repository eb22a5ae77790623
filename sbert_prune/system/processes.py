"""Processes identified across machines and reboots, so that another process can check whether one still runs."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import psutil

_PATTERN = re.compile(r"([0-9a-f]{12})-(\d+)-(\d+)")
_DRIFT_MS = 5_000
"""Setting the machine's clock changes the start time that it reports for a process; this much is tolerated."""


@dataclass(frozen=True)
class Process:
    """A process, unique across machines.

    Attributes:
        machine: Digest that distinguishes boots of a machine and containers on it.
        pid: Process id.
        started_ms: When it started, in ms since 1970; process ids are reused.
    """

    machine: str
    pid: int
    started_ms: int

    @classmethod
    def current(cls) -> Self:
        """Return the current process."""
        return cls(_machine(), os.getpid(), _started_ms(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse what `str` wrote; return None for anything else."""
        match = _PATTERN.fullmatch(text)
        return cls(match[1], int(match[2]), int(match[3])) if match else None

    def __str__(self) -> str:
        return f"{self.machine}-{self.pid}-{self.started_ms}"

    @property
    def is_running(self) -> bool | None:
        """Whether the process still runs; None if it belongs to another machine."""
        if self.machine != _machine():
            return None
        started = _started_ms(self.pid)
        return started is not None and abs(started - self.started_ms) <= _DRIFT_MS


@cache
def _machine() -> str:
    """Identify this boot of this machine, and the namespace of process ids (a container has its own)."""
    parts = [platform.node()]
    with suppress(OSError):  # outside Linux, only the name is available
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _started_ms(pid: int) -> int | None:
    """Return when a process started, in ms since 1970; None if there is none, or only a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time() * 1000)
    except psutil.Error:
        return None
