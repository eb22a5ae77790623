"""Decisions about a registered model, as text that the registry can hold, and what they come to."""

from __future__ import annotations

import getpass
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from sbert_prune.system.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LONGEST = 5_000  # characters of a registered model's tag: MLflow allows more, the column of its database (PostgreSQL) does not

PRODUCTION, STAGING = "Production", "Staging"

PROMOTED, REFUSED, ROLLED_BACK, FOUND, LOST = "promoted", "refused", "rolled back", "found", "lost"
MOVING = {PROMOTED, ROLLED_BACK, FOUND}
"""What gives or takes a stage."""


def _user_name() -> str:
    """Who gives the command: as the tracking server knows them, or as this machine does."""
    with suppress(OSError, KeyError):  # a container's user may have no name
        return one_line(os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser())
    return "unknown"


@dataclass(frozen=True)
class Event:
    """One decision. what: "found" is a version that somebody put there by other means, "lost" says which entries nobody can read any more.

    Others, of releases to come, move nothing.
    version: that it was about; None where a refusal names none.  before: that held the stage until then.
    numbers: metrics that it was decided by.  at: UTC, ISO 8601.
    """

    what: str
    stage: str
    version: str | None
    before: str | None
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)
    by: str = field(default_factory=_user_name)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    def __post_init__(self) -> None:
        if not all(number is None or number.isdecimal() for number in (self.version, self.before)):
            raise ValueError(f"version={self.version}, before={self.before}: versions are numbers.")
        datetime.fromisoformat(self.at)


_EVENT = TypeAdapter(Event)


def shortened(text: str, room: int) -> str:
    """A text that takes so many characters of an entry at most, cut at its end."""
    widths = list(accumulate(len(_as_json(each)) - 2 for each in text))  # quotes and backslashes take two
    if not widths or widths[-1] <= room:
        return text
    return text[: sum(width <= room - 4 for width in widths)] + " ..."


def as_text(event: Event) -> str:
    """As the registry holds it; a reason that is too long for it is cut."""
    room = _LONGEST - len(_as_json(asdict(event) | {"reason": ""}))
    return _as_json(asdict(event) | {"reason": shortened(event.reason, room)})


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def parse(text: str) -> Event | None:
    """What `as_text` wrote; None for what was written by hand or cut off; what a release to come may tell besides is left out."""
    try:
        told: dict[str, Any] = json.loads(text)
        known = {each.name: told[each.name] for each in fields(Event)}
        return _EVENT.validate_json(json.dumps(known), strict=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


@dataclass(frozen=True)
class Standing:
    """What decisions come to. production: the versions that have held it and were not taken back, the present one last."""

    production: tuple[str, ...] = ()
    staging: tuple[str, ...] = ()

    def of(self, stage: str) -> tuple[str, ...]:
        """Those of one stage."""
        return self.production if stage == PRODUCTION else self.staging


def standing(events: Sequence[Event], existing: Collection[str] | None = None) -> Standing:
    """Who holds what behind all these decisions. existing: versions that are still there, others hold nothing; None for whatever was."""
    stacks: dict[str, list[str]] = {PRODUCTION: [], STAGING: []}
    for event in events:
        version = event.version
        if event.what not in MOVING or version is None or event.stage not in stacks:
            continue
        stack = stacks[event.stage]
        if event.what == ROLLED_BACK and version in stack:
            del stack[stack.index(version) + 1 :]
            continue
        if event.stage == STAGING:
            stack.clear()  # who makes way in Staging does not come back
        elif version in stacks[STAGING]:
            stacks[STAGING].clear()
        if version in stack:
            stack.remove(version)
        stack.append(version)
    held = (stacks[stage] for stage in (PRODUCTION, STAGING))
    return Standing(*(tuple(version for version in stack if existing is None or version in existing) for stack in held))
