"""The history of a registered model: every promotion, refusal and rollback, each stored as a tag of the model.

An entry is written once, under its own key, and never changed, so concurrent commands lose nothing; the keys define
the order.
Another tag marks the newest entry that aliases and stages have been reconciled with.
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

from sbert_prune.system.text import one_line
from sbert_prune.tracking.creation import create_once
from sbert_prune.tracking.store import TAG, store_errors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sbert_prune.tracking.store import Store

_MAX_CHARS = 5_000  # of a registered model's tag: MLflow allows more, its database column (PostgreSQL) does not

PRODUCTION, STAGING = "Production", "Staging"

PROMOTED, REFUSED, ROLLED_BACK, FOUND, LOST = "promoted", "refused", "rolled back", "found", "lost"
MOVING = {PROMOTED, ROLLED_BACK, FOUND}
"""The kinds of events that change which version has a stage."""


def _user_name() -> str:
    """Return the user of the tracking server, or else of this machine."""
    with suppress(OSError, KeyError):  # a container's user may have no name
        return one_line(os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser())
    return "unknown"


@dataclass(frozen=True)
class Event:
    """One entry of the history.

    Attributes:
        what: "promoted", "refused" or "rolled back"; "found" for a version that was given the stage outside of
            sbert-prune; "lost" for a list of unreadable entries. Unknown kinds, of later releases, move nothing.
        stage: The stage that the event is about.
        version: The version that the event is about; None if a refusal names none.
        before: The version that had the stage until then.
        reason: Why.
        numbers: The metrics that the decision was based on.
        by: The user.
        at: UTC, ISO 8601.
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


def truncate(text: str, max_chars: int) -> str:
    """Cut a text at its end so that it takes at most `max_chars` characters of an entry."""
    widths = list(accumulate(len(_as_json(char)) - 2 for char in text))  # quotes and backslashes take two
    if not widths or widths[-1] <= max_chars:
        return text
    return text[: sum(width <= max_chars - 4 for width in widths)] + " ..."


def as_text(event: Event) -> str:
    """Return an event as it is stored in the registry; a reason that is too long is cut."""
    max_chars = _MAX_CHARS - len(_as_json(asdict(event) | {"reason": ""}))
    return _as_json(asdict(event) | {"reason": truncate(event.reason, max_chars)})


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def parse(text: str) -> Event | None:
    """Parse what `as_text` wrote; return None for anything else. Fields that later releases may add are ignored."""
    try:
        values: dict[str, Any] = json.loads(text)
        known = {field.name: values[field.name] for field in fields(Event)}
        return _EVENT.validate_json(json.dumps(known), strict=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


@dataclass(frozen=True)
class StageHolders:
    """The versions that have each stage, as the result of a history.

    Attributes:
        production: The versions that were in Production and not rolled back, the current one last.
        staging: The version in Staging, if any.
    """

    production: tuple[str, ...] = ()
    staging: tuple[str, ...] = ()

    def of(self, stage: str) -> tuple[str, ...]:
        """Return the versions of one stage."""
        return self.production if stage == PRODUCTION else self.staging


def stage_holders(events: Sequence[Event], existing: Collection[str] | None = None) -> StageHolders:
    """Return which versions have which stage after all these events.

    Args:
        events: Oldest first.
        existing: The versions that still exist; others are left out. None leaves out none.
    """
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
            stack.clear()  # a version that is replaced in Staging does not come back
        elif version in stacks[STAGING]:
            stacks[STAGING].clear()
        if version in stack:
            stack.remove(version)
        stack.append(version)
    production, staging = (
        tuple(version for version in stacks[stage] if existing is None or version in existing)
        for stage in (PRODUCTION, STAGING)
    )
    return StageHolders(production, staging)


_KEY = re.compile(rf"{re.escape(TAG)}history\.(\d{{6,}})-[0-9a-f]{{8}}")
_RECONCILED = f"{TAG}settled"


@dataclass(frozen=True)
class History:
    """The history of a registered model, as read from the registry.

    Attributes:
        events: The entries that can be read, oldest first.
        num_reconciled: How many of these the aliases and stages have been reconciled with.
        newest: The key of the last entry; None if there is none.
        mark: The key up to which aliases and stages have been reconciled.
        damage: Descriptions of entries that are missing or cannot be read, except those already recorded as lost.
        aliases: The version that each alias names, read by the same request.
    """

    events: tuple[Event, ...]
    num_reconciled: int
    newest: str | None
    mark: str
    damage: tuple[str, ...]
    aliases: Mapping[str, str]

    @property
    def is_reconciled(self) -> bool:
        """Whether aliases and stages reflect every event."""
        return not any(event.what in MOVING for event in self.events[self.num_reconciled :])

    def has_moved(self, stage: str) -> bool:
        """Return whether any event has given or taken this stage."""
        return any(event.what in MOVING and event.stage == stage for event in self.events)


def read_history(store: Store, name: str) -> History:
    """Return all events of a registered model. Raises TrackingError."""
    with store_errors(f"The history of {name} cannot be read"):
        registered = store.client.get_registered_model(name)
    tags, aliases = registered.tags, {alias: str(version) for alias, version in registered.aliases.items()}
    keys = sorted((key for key in tags if _KEY.fullmatch(key)), key=_sort_key)
    mark = tags.get(_RECONCILED, "")
    events = {key: event for key in keys if (event := parse(tags[key])) is not None}
    num_reconciled = sum(_sort_key(key) <= _sort_key(mark) for key in events)
    damage = tuple(_find_damage(keys, events, mark))
    return History(tuple(events.values()), num_reconciled, keys[-1] if keys else None, mark, damage, aliases)


def append(store: Store, name: str, event: Event) -> None:
    """Add an event after all others. Raises TrackingError."""
    with store_errors(f"Nothing could be written to the history of {name}, so nothing was changed"):
        tags = store.client.get_registered_model(name).tags
        number = max(_number(key) for key in (*tags, tags.get(_RECONCILED, ""))) + 1
        key, text = f"{TAG}history.{number:06}-{secrets.token_hex(4)}", as_text(event)
        create_once(
            store.client,
            lambda: store.client.set_registered_model_tag(name, key, text),
            lambda: [None] if key in store.client.get_registered_model(name).tags else [],
        )


def mark_reconciled(store: Store, name: str, history: History) -> None:
    """Record that aliases and stages match this history. Raises MLflow's errors if the store does not answer."""
    if history.newest is not None and history.newest != history.mark:
        store.client.set_registered_model_tag(name, _RECONCILED, history.newest)


def _number(key: str) -> int:
    match = _KEY.fullmatch(key)
    return int(match[1]) if match else 0


def _sort_key(key: str) -> tuple[int, str]:
    return _number(key), key


def _find_damage(keys: Sequence[str], events: Mapping[str, Event], mark: str) -> list[str]:
    """Describe gaps in the numbers, unreadable entries, and a missing marked entry, after the last recorded loss."""
    last_loss = max((_number(key) for key, event in events.items() if event.what == LOST), default=0)
    damage = {number: "" for key in keys if (number := _number(key)) > last_loss}
    damage |= {
        number: f"entry {number} cannot be read"
        for key in keys
        if key not in events and (number := _number(key)) > last_loss
    }
    if mark not in keys and _number(mark) > last_loss:
        damage[_number(mark)] = f"entry {_number(mark)} is missing"
    damage |= {
        before + 1: f"entry {before + 1} is missing"
        if after - before == 2
        else f"entries {before + 1} to {after - 1} are missing"
        for before, after in pairwise([last_loss, *sorted(damage)])
        if after - before > 1
    }
    return [damage[number] for number in sorted(damage) if damage[number]]
