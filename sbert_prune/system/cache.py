"""Arrays kept by the content that they were computed from, shared by all runs of a user."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]

_CHECKS = "checks.json"
"""The checksum of each array's file in an entry, by the array's name: what differs from it is no entry."""

_READ_AT_ONCE = 1 << 20  # bytes

AT_MOST_BYTES = 10 << 30
"""What the least recently used entries give way to."""

_DEAD_S = 86_400.0  # what is still half written after a day, a killed process has left


def cache_folder() -> Path:
    """XDG_CACHE_HOME/sbert-prune, by default ~/.cache/sbert-prune; a folder of its own in each process of a user who has no home."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "sbert-prune"
    try:
        return Path.home() / ".cache" / "sbert-prune"
    except RuntimeError:
        # No name that another user could have put something under before.
        return _of_process()


@lru_cache(maxsize=1)
def _of_process() -> Path:
    return Path(tempfile.mkdtemp(prefix="sbert-prune-cache-"))


def cached(kind: str, key: str, compute: Callable[[], Arrays], *, at_most_bytes: int = AT_MOST_BYTES) -> Arrays:
    """Return arrays that were computed before under the same key, mapped from disk; or compute them now and keep them.

    A cache that cannot be read or written costs time, never a result.

    Args:
        kind: What the arrays are: a folder in the cache.
        key: A digest of all that decides the result.
        compute: Computes the arrays.
        at_most_bytes: How large the cache may become.
    """
    found = _read(cache_folder() / kind / key)
    if found is not None:
        return found
    arrays = compute()
    keep(kind, key, arrays, at_most_bytes=at_most_bytes)
    return arrays


def cached_like(kind: str, prefix: str) -> list[Arrays]:
    """All that is kept under keys that begin so, mapped from disk."""
    try:
        entries = sorted((cache_folder() / kind).glob(f"{prefix}*"))
    except OSError:
        return []
    return [arrays for entry in entries if (arrays := _read(entry)) is not None]


def keep(kind: str, key: str, arrays: Arrays, *, at_most_bytes: int = AT_MOST_BYTES) -> None:
    """Keep arrays under a key, if that can be done; beyond `at_most_bytes` the least recently used entries are removed."""
    entry = cache_folder() / kind / key
    with suppress(OSError):
        _write(entry, arrays)
        _make_room(cache_folder(), entry, at_most_bytes)


def _read(entry: Path) -> Arrays | None:
    try:
        names = [path.stem for path in entry.glob("*.npy")]
        if not names or json.loads((entry / _CHECKS).read_bytes()) != _checks(entry, names):
            return None
        arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    except (OSError, ValueError, EOFError):
        return None
    with suppress(OSError):  # of another user's: it can be read all the same
        os.utime(entry)
    return arrays


def _checks(entry: Path, names: Iterable[str]) -> dict[str, int]:
    return {name: _checksum(entry / f"{name}.npy") for name in names}


def _checksum(path: Path) -> int:
    """CRC-32 of a file, 6 GB/s: chance does the damage here, not malice. Read, not mapped, so that it takes no memory."""
    found = 0
    with path.open("rb") as file:
        while part := file.read(_READ_AT_ONCE):
            found = zlib.crc32(part, found)
    return found


def _write(entry: Path, arrays: Arrays) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    beside = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}.partial")
    try:
        beside.mkdir()
        for name, array in arrays.items():
            np.save(beside / f"{name}.npy", array, allow_pickle=False)
        (beside / _CHECKS).write_text(json.dumps(_checks(beside, arrays)), encoding="utf-8")
        shutil.rmtree(entry, ignore_errors=True)  # there, but not readable
        beside.rename(entry)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _make_room(root: Path, newest: Path, at_most_bytes: int) -> None:
    found = [(path.stat().st_mtime, path) for path in root.glob("*/*") if path != newest]
    for written, path in found:
        if path.name.startswith(".") and time.time() - written > _DEAD_S:
            shutil.rmtree(path, ignore_errors=True)
    entries = [path for _, path in sorted(found, reverse=True) if not path.name.startswith(".")]
    room = at_most_bytes - _num_bytes(newest)
    for entry in entries:
        room -= _num_bytes(entry)
        if room < 0:
            shutil.rmtree(entry, ignore_errors=True)


def _num_bytes(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.glob("*"))
