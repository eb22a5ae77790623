"""A small disk that a test can fill: a real one, in memory, which only root can mount."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount an empty disk on a folder, which is made; skip the test where that is not allowed."""
    place.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    done = subprocess.run(["mount", *options], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting a small disk requires root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def filled(disk: Path, *, leaving: int) -> Iterator[None]:
    """Fill a disk with a file, but for some bytes."""
    file = disk / "ballast"
    file.write_bytes(bytes(shutil.disk_usage(disk).free - leaving))
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Let a disk refuse to be written, as after an error of the device."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
