"""What was decided about a registered model, in order: every promotion, refusal and rollback, each a tag of the model in the registry.

An entry is written once and never changed, under a key of its own, so that two commands at once lose nothing; keys order them for all.
A further tag marks the newest entry that aliases and stages have been brought to.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from sbert_prune.errors import TrackingError
from sbert_prune.system.text import one_line
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.store import TAG

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sbert_prune.tracking.store import Store

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


_KEY = re.compile(rf"{re.escape(TAG)}history\.(\d{{6,}})-[0-9a-f]{{8}}")
_SETTLED = f"{TAG}settled"


@dataclass(frozen=True)
class History:
    """events: those that can be read, oldest first.  num_reconciled: of these, how many aliases and stages have been brought to.

    newest: the key of the last entry; None where there is none.  mark: the key up to which all is settled.
    damage: entries that are gone or cannot be read, for people, but for those that are noted as lost.
    aliases: the version that each named, read by the same request.
    """

    events: tuple[Event, ...]
    num_reconciled: int
    newest: str | None
    mark: str
    damage: tuple[str, ...]
    aliases: Mapping[str, str]

    @property
    def is_reconciled(self) -> bool:
        """Whether no decision was only written down."""
        return not any(event.what in MOVING for event in self.events[self.num_reconciled :])

    def has_moved(self, stage: str) -> bool:
        """Whether anything was ever decided that gives or takes this stage."""
        return any(event.what in MOVING and event.stage == stage for event in self.events)


def read_history(store: Store, name: str) -> History:
    """All decisions about a registered model. Raises TrackingError."""
    try:
        registered = store.client.get_registered_model(name)
    except FAULTS as error:
        raise TrackingError(f"The history of {name} cannot be read: {first_line(error)}") from error
    tags, aliases = registered.tags, {alias: str(version) for alias, version in registered.aliases.items()}
    keys = sorted((key for key in tags if _KEY.fullmatch(key)), key=_place)
    mark = tags.get(_SETTLED, "")
    read = {key: event for key in keys if (event := parse(tags[key])) is not None}
    num_reconciled = sum(_place(key) <= _place(mark) for key in read)
    return History(
        tuple(read.values()),
        num_reconciled,
        keys[-1] if keys else None,
        mark,
        tuple(_damage(keys, read, mark)),
        aliases,
    )


def append(store: Store, name: str, event: Event) -> None:
    """Write a decision behind all others. Raises TrackingError."""
    try:
        tags = store.client.get_registered_model(name).tags
        number = max(_place(key)[0] for key in (*tags, tags.get(_SETTLED, ""))) + 1
        store.client.set_registered_model_tag(name, f"{TAG}history.{number:06}-{secrets.token_hex(4)}", as_text(event))
    except FAULTS as error:
        raise TrackingError(
            f"Nothing could be written to the history of {name}, so nothing was changed: {first_line(error)}"
        ) from error


def mark_reconciled(store: Store, name: str, history: History) -> None:
    """Note that aliases and stages are where this history has them. Raises what MLflow does when the store does not answer."""
    if history.newest is not None and history.newest != history.mark:
        store.client.set_registered_model_tag(name, _SETTLED, history.newest)


def _place(key: str) -> tuple[int, str]:
    found = _KEY.fullmatch(key)
    return (int(found[1]), key) if found else (0, key)


def _damage(keys: Sequence[str], read: Mapping[str, Event], mark: str) -> list[str]:
    """Numbers that nothing has, the marked entry where it is gone, and entries that tell nothing, behind the last note of a loss."""
    noted = max((_place(key)[0] for key, event in read.items() if event.what == LOST), default=0)
    told = {number: "" for key in keys if (number := _place(key)[0]) > noted}
    told |= {
        number: f"entry {number} cannot be read"
        for key in keys
        if key not in read and (number := _place(key)[0]) > noted
    }
    if mark not in keys and _place(mark)[0] > noted:
        told[_place(mark)[0]] = f"entry {_place(mark)[0]} is missing"
    told |= {
        before + 1: f"entry {before + 1} is missing"
        if after - before == 2
        else f"entries {before + 1} to {after - 1} are missing"
        for before, after in pairwise([noted, *sorted(told)])
        if after - before > 1
    }
    return [told[number] for number in sorted(told) if told[number]]
