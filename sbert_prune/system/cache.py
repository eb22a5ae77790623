"""A cache of computed arrays on disk, keyed by what they were computed from, shared by all runs of a user."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbert_prune.system.folders import folder_until_exit

Arrays = Mapping[str, NDArray[np.generic]]

_CHECKS = "checks.json"
"""File in each entry: the checksum of each array's file, by the array's name. An entry that differs is ignored."""

_CHUNK_BYTES = 1 << 20  # bytes

MAX_BYTES = 10 << 30
"""Default size of the cache. Beyond it, the least recently used entries are removed."""

_ORPHANED_AFTER_S = 86_400.0  # an entry that is unfinished after a day was left by a killed process


def cache_folder() -> Path:
    """Return XDG_CACHE_HOME/sbert-prune, by default ~/.cache/sbert-prune.

    For a user without a home directory, return a temporary folder of this process.
    """
    if configured := os.environ.get("XDG_CACHE_HOME"):
        return Path(configured) / "sbert-prune"
    try:
        return Path.home() / ".cache" / "sbert-prune"
    except RuntimeError:
        # Its name is random: another user could have placed files under a predictable one.
        return _temporary_folder()


@lru_cache(maxsize=1)
def _temporary_folder() -> Path:
    return Path(folder_until_exit())


def cached(kind: str, key: str, compute: Callable[[], Arrays], *, max_bytes: int = MAX_BYTES) -> Arrays:
    """Return the arrays cached under a key, memory-mapped; or compute and cache them.

    If the cache cannot be read or written, the arrays are computed.

    Args:
        kind: What the arrays are; the name of a folder in the cache.
        key: A digest of everything that the result depends on.
        compute: Computes the arrays.
        max_bytes: Size limit of the whole cache.
    """
    stored = _read(cache_folder() / kind / key)
    if stored is not None:
        return stored
    arrays = compute()
    keep(kind, key, arrays, max_bytes=max_bytes)
    return arrays


def cached_like(kind: str, prefix: str) -> list[Arrays]:
    """Return all entries whose keys begin with a prefix, memory-mapped."""
    try:
        entries = sorted((cache_folder() / kind).glob(f"{prefix}*"))
    except OSError:
        return []
    return [arrays for entry in entries if (arrays := _read(entry)) is not None]


def keep(kind: str, key: str, arrays: Arrays, *, max_bytes: int = MAX_BYTES) -> None:
    """Cache arrays under a key if possible; beyond `max_bytes`, remove the least recently used entries."""
    entry = cache_folder() / kind / key
    with suppress(OSError):
        _write(entry, arrays)
        _evict(cache_folder(), entry, max_bytes)


def _read(entry: Path) -> Arrays | None:
    try:
        names = [path.stem for path in entry.glob("*.npy")]
        if not names or json.loads((entry / _CHECKS).read_bytes()) != _checks(entry, names):
            return None
        arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    except (OSError, ValueError, EOFError):
        return None
    with suppress(OSError):  # an entry of another user may be readable but not writable
        os.utime(entry)
    return arrays


def _checks(entry: Path, names: Iterable[str]) -> dict[str, int]:
    return {name: _checksum(entry / f"{name}.npy") for name in names}


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file: fast (6 GB/s), and enough against accidental damage.

    The file is read, not mapped, so that it takes no memory.
    """
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _write(entry: Path, arrays: Arrays) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    partial = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.mkdir()
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        (partial / _CHECKS).write_text(json.dumps(_checks(partial, arrays)), encoding="utf-8")
        shutil.rmtree(entry, ignore_errors=True)  # an existing entry is one that could not be read
        partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _evict(root: Path, newest: Path, max_bytes: int) -> None:
    others = [(path.stat().st_mtime, path) for path in root.glob("*/*") if path != newest]
    for modified, path in others:
        if path.name.startswith(".") and time.time() - modified > _ORPHANED_AFTER_S:
            shutil.rmtree(path, ignore_errors=True)
    entries = [path for _, path in sorted(others, reverse=True) if not path.name.startswith(".")]
    bytes_left = max_bytes - _num_bytes(newest)
    for entry in entries:
        bytes_left -= _num_bytes(entry)
        if bytes_left < 0:
            shutil.rmtree(entry, ignore_errors=True)


def _num_bytes(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.glob("*"))
