"""What was decided about a registered model, in order: every promotion, refusal and rollback, each a tag of the model in the registry.

An entry is written once and never changed, under a key of its own, so that two commands at once lose nothing; keys order them for all.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from sbert_prune.delivery import FAULTS, first_line
from sbert_prune.errors import TrackingError
from sbert_prune.store import TAG

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sbert_prune.store import Store

_KEY = re.compile(rf"{re.escape(TAG)}history\.(\d{{6,}})-[0-9a-f]{{8}}")
_LONGEST = 4_000  # MLflow holds 5,000 characters of a tag

PRODUCTION, STAGING = "Production", "Staging"

What = Literal["promoted", "refused", "rolled back", "found"]


def _user_name() -> str:
    """Who gives the command: as the tracking server knows them, or as this machine does."""
    with suppress(OSError, KeyError):  # a container's user may have no name
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    return "unknown"


@dataclass(frozen=True)
class Event:
    """One decision. what: "found" is a version that somebody put there by other means.

    version: that it was about; None where a refusal names none.  before: that held the stage until then.
    numbers: metrics that it was decided by.  at: UTC, ISO 8601.
    """

    what: What
    stage: str
    version: str | None
    before: str | None
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)
    by: str = field(default_factory=_user_name)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


def read_history(store: Store, name: str) -> list[Event]:
    """All decisions about a registered model, oldest first. Raises TrackingError."""
    try:
        tags = store.client.get_registered_model(name).tags
    except FAULTS as error:
        raise TrackingError(f"The history of {name} cannot be read: {first_line(error)}") from error
    return [event for key in sorted(tags, key=_place) if _KEY.fullmatch(key) and (event := _parse(tags[key])) is not None]


def append(store: Store, name: str, event: Event) -> None:
    """Write a decision behind all others. Raises TrackingError."""
    try:
        tags = store.client.get_registered_model(name).tags
        number = max((_place(key)[0] for key in tags), default=0) + 1
        store.client.set_registered_model_tag(name, f"{TAG}history.{number:06}-{secrets.token_hex(4)}", _as_text(event))
    except FAULTS as error:
        raise TrackingError(f"Nothing could be written to the history of {name}, so nothing was changed: {first_line(error)}") from error


@dataclass(frozen=True)
class Standing:
    """What decisions come to. production: the versions that have held it and were not taken back, the present one last."""

    production: tuple[str, ...] = ()
    staging: tuple[str, ...] = ()

    def of(self, stage: str) -> tuple[str, ...]:
        """Those of one stage."""
        return self.production if stage == PRODUCTION else self.staging


def standing(events: Sequence[Event], existing: Collection[str]) -> Standing:
    """Who holds what behind all these decisions. existing: versions that are still there; others hold nothing."""
    stacks: dict[str, list[str]] = {PRODUCTION: [], STAGING: []}
    for event in events:
        version = event.version
        if event.what == "refused" or version is None or event.stage not in stacks:
            continue
        stack = stacks[event.stage]
        if event.what == "rolled back" and version in stack:
            del stack[stack.index(version) + 1 :]
            continue
        if event.stage == STAGING:
            stack.clear()  # who makes way in Staging does not come back
        elif version in stacks[STAGING]:
            stacks[STAGING].clear()
        if version in stack:
            stack.remove(version)
        stack.append(version)
    return Standing(*(tuple(version for version in stacks[stage] if version in existing) for stage in (PRODUCTION, STAGING)))


def _place(key: str) -> tuple[int, str]:
    found = _KEY.fullmatch(key)
    return (int(found[1]), key) if found else (0, key)


def _as_text(event: Event) -> str:
    text = json.dumps(asdict(event))
    over = len(text) - _LONGEST
    return text if over <= 0 else json.dumps(asdict(event) | {"reason": event.reason[: max(0, len(event.reason) - over - 4)] + " ..."})


def _parse(text: str) -> Event | None:
    try:
        return Event(**json.loads(text))
    except (ValueError, TypeError):
        return None  # written by hand, or by a version of ours that knew more
