"""The CPU cores and memory that this process may use: the limits of its container, or all of the machine."""

from __future__ import annotations

import os
import platform
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMORY_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Limit and usage in version 2 and version 1 of control groups."""


@dataclass(frozen=True)
class Limits:
    """The control groups of this process.

    Attributes:
        root: Where they are mounted.
        of_process: The file that lists the groups of this process.
    """

    root: Path = Path("/sys/fs/cgroup")
    of_process: Path = Path("/proc/self/cgroup")

    def num_cores(self) -> float:
        """Return the number of cores that may be used, by affinity and by the quotas of this process's groups."""
        quotas = [quota for folder in self._folders("cpu") if (quota := _quota(folder)) is not None]
        return min((float(affine_cores()), *quotas))

    def memory_left(self) -> int:
        """Return the bytes that may still be allocated, by the machine's available memory and the groups' limits."""
        bytes_left = [int(psutil.virtual_memory().available)]
        for folder in self._folders("memory"):
            for limit_file, usage_file in _MEMORY_FILES:
                allowed, used = _number(folder / limit_file), _number(folder / usage_file)
                if allowed is not None and used is not None:
                    bytes_left.append(max(0, allowed - used + _reclaimable(folder)))
        return min(bytes_left)

    def _folders(self, controller: str) -> list[Path]:
        """Return the folders of this process's group and its ancestors.

        Version 1 of control groups has a tree per controller, version 2 one for all.
        """
        folders: list[Path] = []
        for line in _text(self.of_process).splitlines():
            number, controllers, path_in_tree = line.split(":", 2)
            top = self.root if number == "0" and not controllers else self.root / controller
            if controller in controllers.split(",") or top == self.root:
                group = top / path_in_tree.lstrip("/")
                folders += [path for path in (group, *group.parents) if path.is_relative_to(top) and path.is_dir()]
                folders += [top] if not group.is_dir() else []  # inside a container, the path is the host's
        return list(dict.fromkeys(folders))


def affine_cores() -> int:
    """Return the number of cores that this process may run on, whatever its quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(folder: Path) -> float | None:
    limit, _, period = _text(folder / "cpu.max").partition(" ")
    if limit.isdecimal() and period.strip().isdecimal():
        return int(limit) / int(period)
    quota, length = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / length if quota and length and quota > 0 else None


def _reclaimable(folder: Path) -> int:
    """Return the bytes of cached files, which the kernel frees when memory is needed."""
    lines = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    return int(lines.get("total_inactive_file") or lines.get("inactive_file") or 0)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdecimal() else None  # "max" means no limit


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


@cache
def this_machine() -> str:
    """Return the processor and the number of cores of this machine."""
    named = None
    with suppress(OSError):
        named = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    name = named[1].strip() if named else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count() or 1} cores"


def count_others() -> Callable[[], float]:
    """Return a function that returns how many cores other processes have used since now, on average."""

    def read() -> tuple[float, float]:
        times, own = psutil.cpu_times(), psutil.Process().cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "guest", 0.0)
        return time.monotonic(), sum(times) - idle - own.user - own.system

    began_s, before = read()

    def used() -> float:
        now_s, now = read()
        return float(max(0.0, now - before) / max(now_s - began_s, 1e-9))

    return used
