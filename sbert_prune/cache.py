"""Arrays kept by the content that they were computed from, shared by all runs of a user."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]

_AT_MOST_BYTES = 10 << 30
"""What the least recently used entries give way to."""


def cache_folder() -> Path:
    """XDG_CACHE_HOME/sbert-prune, by default ~/.cache/sbert-prune."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sbert-prune"


def cached(kind: str, key: str, compute: Callable[[], Arrays]) -> Arrays:
    """Arrays that were computed before under the same key, mapped from disk; or compute them now and keep them.

    key: a digest of all that decides the result. A cache that cannot be read or written costs time, never a result.
    """
    entry = cache_folder() / kind / key
    found = _read(entry)
    if found is not None:
        return found
    arrays = compute()
    with suppress(OSError):
        _write(entry, arrays)
        _make_room(cache_folder(), entry)
    return arrays


def _read(entry: Path) -> Arrays | None:
    try:
        arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in entry.glob("*.npy")}
        os.utime(entry)
    except (OSError, ValueError, EOFError):
        return None
    return arrays or None


def _write(entry: Path, arrays: Arrays) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    beside = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}.partial")
    try:
        beside.mkdir()
        for name, array in arrays.items():
            np.save(beside / f"{name}.npy", array, allow_pickle=False)
        shutil.rmtree(entry, ignore_errors=True)  # there, but not readable
        beside.rename(entry)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _make_room(root: Path, newest: Path) -> None:
    entries = sorted((path for path in root.glob("*/*") if path != newest), key=lambda path: path.stat().st_mtime, reverse=True)
    room = _AT_MOST_BYTES - _num_bytes(newest)
    for entry in entries:
        room -= _num_bytes(entry)
        if room < 0:
            shutil.rmtree(entry, ignore_errors=True)


def _num_bytes(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.glob("*"))
