"""What can be told of a place on disk before anything is written there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil


def may_write(folder: Path) -> bool:
    """Whether this user may make files in a folder that exists; the effective user, where the system can tell."""
    return _is_dir(folder) and os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    absolute = path.expanduser().absolute()
    return next(folder for folder in (absolute, *absolute.parents) if _is_dir(folder))


def free_bytes(folder: Path) -> int:
    """What this user may still write there."""
    return shutil.disk_usage(folder).free


def file_system(folder: Path) -> str:
    """Its kind, such as ext4 or tmpfs; "" where the system does not tell."""
    real = folder.resolve()
    mounted = [part for part in psutil.disk_partitions(all=True) if real.is_relative_to(part.mountpoint)]
    return max(mounted, key=lambda part: len(part.mountpoint)).fstype if mounted else ""


def _is_dir(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - pathlib raises where a folder above may not be entered
