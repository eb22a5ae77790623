"""Which process it was, told so that any other one can say whether it still runs."""

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

_FORM = re.compile(r"([0-9a-f]{12})-(\d+)-(\d+)")
_DRIFT_MS = 5_000
"""By so much a process's start is told differently when the machine's clock is set."""


@dataclass(frozen=True)
class Process:
    """One process among all of all machines.

    machine: tells a boot of a machine, and a container, from another of the same name.
    since: when it started, in ms since 1970; numbers of processes are used again.
    """

    machine: str
    pid: int
    since: int

    @classmethod
    def own(cls) -> Self:
        """This one."""
        return cls(_machine(), os.getpid(), _started(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` wrote; None for anything else."""
        found = _FORM.fullmatch(text)
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def __str__(self) -> str:
        return f"{self.machine}-{self.pid}-{self.since}"

    @property
    def runs(self) -> bool | None:
        """Whether it still runs; None where that cannot be seen from here."""
        if self.machine != _machine():
            return None
        started = _started(self.pid)
        return started is not None and abs(started - self.since) <= _DRIFT_MS


@cache
def _machine() -> str:
    """A boot of a machine, and where processes are numbered on their own, as in a container, that place."""
    told = [platform.node()]
    with suppress(OSError):  # not a Linux: the name has to do
        told += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def _started(pid: int) -> int | None:
    """When a process started, in ms since 1970; None where there is none, or only what its parent has not buried yet."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time() * 1000)
    except psutil.Error:
        return None
