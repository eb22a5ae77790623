"""Check the folders that commands write to: permissions and free disk space."""

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
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.experiment import Problem, local_folder, unwritable
from sbert_prune.tracking.secrets import masked_uri
from sbert_prune.tracking.spool import Entry
from sbert_prune.tracking.store_uri import own_folder, tracking_uri


def may_write(folder: Path) -> bool:
    """Return whether the effective user may create files in an existing folder."""
    return _is_dir(folder) and os.access(
        folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    )


def nearest(path: Path) -> Path:
    """Return the folder itself, or its nearest existing parent."""
    absolute = path.expanduser().absolute()
    return next(folder for folder in (absolute, *absolute.parents) if _is_dir(folder))


def free_bytes(folder: Path) -> int:
    """Return the free disk space for this user."""
    return shutil.disk_usage(folder).free


def file_system(folder: Path) -> str:
    """Return the type of the file system, such as ext4 or tmpfs; "" where it is unknown."""
    real = folder.resolve()
    mounted = [part for part in psutil.disk_partitions(all=True) if real.is_relative_to(part.mountpoint)]
    return max(mounted, key=lambda part: len(part.mountpoint)).fstype if mounted else ""


def _is_dir(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - pathlib raises where a parent may not be entered


_MIN_FREE = 200_000_000
"""Bytes without which no command can work."""

_MODELS, _CHECKPOINT = 2, 4
"""Sizes in copies of the base: the reference and a variant; and a checkpoint, which has the weights, AdamW's two
moments and the best weights. Two checkpoints are kept.
"""


@dataclass(frozen=True)
class Place:
    """A folder that commands write to.

    Args:
        name: Name of its check.
        folder: It need not exist.
        needed: Approximate bytes.
        elsewhere: The shell command that selects another folder.
    """

    name: str
    folder: Path
    needed: int
    elsewhere: str


def places(parameters: int | None, downloads: int) -> list[Place]:
    """Return the folders that commands write to.

    Args:
        parameters: Number of parameters of the base; None where unknown.
        downloads: Bytes to download from a hub.
    """
    base, store = 4 * (parameters or 0), own_folder().parent
    largest = f"du -sh {shlex.quote(str(store))}/* | sort -h | tail -5"
    result = [
        Place("disk: store", store, (_MODELS + 2 * _CHECKPOINT) * base, largest),
        Place("disk: cache", cache_folder(), 0, "mkdir -p ~/cache && export XDG_CACHE_HOME=~/cache"),
    ]
    if downloads:
        from huggingface_hub import constants

        hub = Path(constants.HF_HUB_CACHE)
        result.append(Place("disk: hub", hub, downloads, "mkdir -p ~/hub && export HF_HOME=~/hub"))
    temporary = Path(tempfile.gettempdir())
    if temporary.name.startswith("sbert-prune-"):  # this command's own, which it removes at its end
        temporary = temporary.parent
    result.append(Place("disk: temporary", temporary, _MODELS * base, "mkdir -p ~/tmp && export TMPDIR=~/tmp"))
    return result


def check_places(folders: Sequence[Place]) -> list[Finding]:
    """Check each folder; those on one disk share its free space."""
    devices = [nearest(place.folder).stat().st_dev for place in folders]
    needed: Counter[int] = Counter()
    for place, device in zip(folders, devices, strict=True):
        needed[device] += place.needed
    return [_check(place, needed[device]) for place, device in zip(folders, devices, strict=True)]


def _check(place: Place, needed: int) -> Finding:
    folder = nearest(place.folder)
    free, kind = free_bytes(folder), file_system(folder)
    takes = f", about {in_bytes(needed)} needed on this disk" if needed else ""
    summary = f"{folder}: {in_bytes(free)} free{takes}{f' ({kind})' if kind else ''}"
    if not may_write(folder):
        advice = "Change its permissions, or use another folder."
        return Finding(place.name, "fail", f"{folder} cannot be written", advice, place.elsewhere)
    if free < max(needed, _MIN_FREE):
        state: State = "fail" if free < _MIN_FREE else "warn"
        advice = "There is too little disk space: free some, or use another folder."
        return Finding(place.name, state, summary, advice, place.elsewhere)
    if kind == "tmpfs" and "temporary" in place.name:
        advice = "It is in memory, and temporary copies of rows and models are written there: use a folder on a disk."
        return Finding(place.name, "warn", summary, advice, place.elsewhere)
    return Finding(place.name, "ok", summary)


def check_undelivered() -> Finding:
    """Check for entries that are not yet delivered to a tracking store, and for unfinished commands."""
    folder = own_folder()
    waiting = Counter(store for path in sorted((folder / "spool").glob("*.jsonl")) for store in _stores(path))
    folders = [path for path in (folder / "unfinished").glob("*") if path.is_dir()]
    unfinished = f"{len(folders)} unfinished command{'s' * (len(folders) != 1)}" if folders else ""
    if not waiting:
        return Finding("left over", "ok", unfinished or "nothing")
    entries = [f"{number:,} for {store}" for store, number in sorted(waiting.items())]
    summary = ", ".join(
        filter(None, (f"entries not recorded yet in {folder / 'spool'}: {'; '.join(entries)}", unfinished))
    )
    if masked_uri(tracking_uri(), keep_options=True) in waiting:
        advice = "The next command that records something delivers them at its start, if the store answers."
        return Finding("left over", "warn", summary, advice, command_line("full"))
    advice = "They are for another store than the one in use now: the next command that uses that store delivers them."
    return Finding("left over", "warn", summary, advice, f"MLFLOW_TRACKING_URI={min(waiting)} {command_line('full')}")


def _stores(path: Path) -> list[str]:
    """Return the store of every complete entry of a file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [str(json.loads(line).get("store", "a store")) for line in file if Entry.parse(line) is not None]


def artifacts_problem(location: str) -> Problem | None:
    """Return why an experiment's artifacts cannot be stored; imports MLflow only where they go elsewhere."""
    if (folder := local_folder(location)) is not None:
        return unwritable(folder)
    from sbert_prune.tracking import reach

    return reach.artifacts_problem(location, tracking_uri())
