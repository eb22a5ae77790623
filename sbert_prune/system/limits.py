"""What this process may use of the machine: a container's limits where there are some, else all of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Limits:
    """The control groups of this process. root: where they are mounted.  of_process: `/proc/self/cgroup`."""

    root: Path = Path("/sys/fs/cgroup")
    of_process: Path = Path("/proc/self/cgroup")

    def num_cores(self) -> float:
        """Cores that may be kept busy: by affinity, and by the quota of every group above this process."""
        quotas = [quota for folder in self._folders("cpu") if (quota := _quota(folder)) is not None]
        return min((float(affine_cores()), *quotas))

    def memory_left(self) -> int:
        """Bytes that may still be taken: of the machine's available ones, and below the limit of every group above."""
        left = [int(psutil.virtual_memory().available)]
        for folder in self._folders("memory"):
            for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
                most, taken = _number(folder / limit), _number(folder / used)
                if most is not None and taken is not None:
                    left.append(max(0, most - taken + _reclaimable(folder)))
        return min(left)

    def _folders(self, controller: str) -> list[Path]:
        """The group of this process and those above it; version 1 has a tree for each controller, version 2 one for all."""
        found = []
        for line in _text(self.of_process).splitlines():
            number, controllers, place = line.split(":", 2)
            top = self.root if number == "0" and not controllers else self.root / controller
            if controller in controllers.split(",") or top == self.root:
                group = top / place.lstrip("/")
                found += [folder for folder in (group, *group.parents) if folder.is_relative_to(top) and folder.is_dir()]
                found += [top] if not group.is_dir() else []  # inside of a container, the path is the host's
        return list(dict.fromkeys(found))


def affine_cores() -> int:
    """Cores that this process may run on, whatever its share of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(folder: Path) -> float | None:
    limit, _, period = _text(folder / "cpu.max").partition(" ")
    if limit.isdecimal() and period.strip().isdecimal():
        return int(limit) / int(period)
    quota, length = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / length if quota and length and quota > 0 else None


def _reclaimable(folder: Path) -> int:
    """Files that the kernel keeps in memory as long as nobody else wants it."""
    lines = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    return int(lines.get("total_inactive_file") or lines.get("inactive_file") or 0)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdecimal() else None  # "max" is none


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
