"""The places that commands write to: whether they may, and whether there is room."""

from __future__ import annotations

import shlex
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.checks.folders import file_system, free_bytes, may_write, nearest
from pipelines.doctor.findings import Finding, State, in_bytes
from sbert_prune.system.cache import cache_folder
from sbert_prune.tracking.store_uri import own_folder

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
