"""The places that commands write to: whether they may, and whether there is room."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipelines.doctor.findings import Finding, State, in_bytes
from sbert_prune.system.cache import cache_folder
from sbert_prune.tracking.spool import Entry
from sbert_prune.tracking.store_uri import own_folder, tracking_uri, without_password


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


_LEAST = 200_000_000
"""Bytes: with less, nothing of use can be done."""

_KEPT, _CHECKPOINT = 2, 4
"""Copies of the base: the reference and a variant. A checkpoint has the weights, AdamW's two moments and the best weights; two stay."""


@dataclass(frozen=True)
class Place:
    """A folder, which need not exist. needed: bytes, roughly.  elsewhere: the command that lets commands use another one."""

    name: str
    folder: Path
    needed: int
    elsewhere: str


def places(parameters: int | None, downloads: int) -> list[Place]:
    """Where commands write. parameters: of the base; None where that is not known.  downloads: bytes that come from a hub."""
    base, found = 4 * (parameters or 0), []
    store = own_folder().parent
    found.append(Place("disk: store", store, (_KEPT + 2 * _CHECKPOINT) * base, f"du -sh {shlex.quote(str(store))}/* | sort -h | tail -5"))
    found.append(Place("disk: cache", cache_folder(), 0, "mkdir -p ~/cache && export XDG_CACHE_HOME=~/cache"))
    if downloads:
        from huggingface_hub import constants

        found.append(Place("disk: hub", Path(constants.HF_HUB_CACHE), downloads, "mkdir -p ~/hub && export HF_HOME=~/hub"))
    temporary = Path(tempfile.gettempdir())
    if temporary.name.startswith("sbert-prune-"):  # the command's own, which goes with it
        temporary = temporary.parent
    found.append(Place("disk: temporary", temporary, _KEPT * base, "mkdir -p ~/tmp && export TMPDIR=~/tmp"))
    return found


def check_places(asked: Sequence[Place]) -> list[Finding]:
    """A row a place; those that lie on one disk share its room."""
    devices = [nearest(place.folder).stat().st_dev for place in asked]
    needed: Counter[int] = Counter()
    for place, device in zip(asked, devices, strict=True):
        needed[device] += place.needed
    return [_check(place, needed[device]) for place, device in zip(asked, devices, strict=True)]


def _check(place: Place, needed: int) -> Finding:
    folder = nearest(place.folder)
    free, kind = free_bytes(folder), file_system(folder)
    takes = f", about {in_bytes(needed)} needed on this disk" if needed else ""
    told = f"{folder}: {in_bytes(free)} free{takes}{f' ({kind})' if kind else ''}"
    if not may_write(folder):
        return Finding(place.name, "fail", f"{folder} cannot be written", "Make it yours to write, or take another place.", place.elsewhere)
    if free < max(needed, _LEAST):
        state: State = "fail" if free < _LEAST else "warn"
        return Finding(place.name, state, told, "There is too little room: make some, or take another place.", place.elsewhere)
    if kind == "tmpfs" and "temporary" in place.name:
        advice = "It lies in memory, and rows and models on their way are written there: take a place on a disk."
        return Finding(place.name, "warn", told, advice, place.elsewhere)
    return Finding(place.name, "ok", told)


def check_undelivered() -> Finding:
    """One row."""
    folder = own_folder()
    waiting = Counter(store for path in sorted((folder / "spool").glob("*.jsonl")) for store in _stores(path))
    begun_before = [path for path in (folder / "unfinished").glob("*") if path.is_dir()]
    begun = f"{len(begun_before)} command{'s' * (len(begun_before) != 1)} to go on with" if begun_before else ""
    if not waiting:
        return Finding("left over", "ok", begun or "nothing")
    entries = [f"{number:,} for {store}" for store, number in sorted(waiting.items())]
    found = ", ".join(filter(None, (f"entries not recorded yet in {folder / 'spool'}: {'; '.join(entries)}", begun)))
    here = without_password(tracking_uri())
    if here in waiting:
        advice = "They are delivered at the beginning of the next command that records something, once the store answers."
        return Finding("left over", "warn", found, advice, "mlflow run . -e full")
    advice = "They are for another store than the one in use now: the next command that is given that one delivers them."
    return Finding("left over", "warn", found, advice, f"MLFLOW_TRACKING_URI={min(waiting)} mlflow run . -e full")


def _stores(path: Path) -> list[str]:
    """The store of every whole entry of a file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [str(json.loads(line).get("store", "a store")) for line in file if Entry.parse(line) is not None]
