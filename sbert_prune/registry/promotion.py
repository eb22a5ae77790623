"""Giving a stage to a version, taking it back, and taking in what others did, so that the history tells of each who held it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.errors import TrackingError
from sbert_prune.registry.history import (
    FOUND,
    LOST,
    PRODUCTION,
    PROMOTED,
    ROLLED_BACK,
    Event,
    append,
    read_history,
    standing,
)
from sbert_prune.registry.reconcile import settle
from sbert_prune.registry.versions import STAGE_ALIASES, alias_holder, versions
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.store import TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

_MOVING_S = 0.5  # in which a command that moves an alias has read the newest decision, too


@dataclass(frozen=True)
class PromotionResult:
    """What a command has brought about. before: who held the stage, there or not.  has_stages: whether the server knows any."""

    before: str | None
    has_stages: bool


def promote(store: Store, chosen: Version, stage: str, reason: str, numbers: Mapping[str, float]) -> PromotionResult:
    """Give a stage and its alias to a version; the one before becomes `previous` and Archived. Raises TrackingError."""
    event = Event(PROMOTED, stage, chosen.version, _told(store, chosen.name, stage), reason, dict(numbers))
    append(store, chosen.name, event)
    has_stages = settle(store, chosen.name)
    _tell(store, chosen, event)
    return PromotionResult(event.before, has_stages)


def roll_back(store: Store, name: str, reason: str) -> tuple[Version, PromotionResult]:
    """Give Production back to the version that held it before, whether the last decision was brought to its end or not.

    Returns that version. Raises TrackingError where there is none.
    """
    note_found(store, name, STAGE_ALIASES)
    there = {version.version: version for version in versions(store, name)}
    held = standing(read_history(store, name).events).production
    now = held[-1] if held and held[-1] in there else _number(holder(store, name, PRODUCTION))
    earlier = [version for version in held if version in there and version != now]
    if not earlier:
        raise TrackingError(
            f"{name} has no version to go back to: none that held Production before is still there. mlflow run . -e history tells what was."
        )
    target, before = there[earlier[-1]], now or held[-1]
    append(store, name, Event(ROLLED_BACK, PRODUCTION, target.version, before, reason))
    return target, PromotionResult(before, settle(store, name))


def holder(store: Store, name: str, stage: str) -> Version | None:
    """The version that holds a stage's alias. Raises TrackingError."""
    try:
        return alias_holder(store, name, STAGE_ALIASES[stage])
    except FAULTS as error:
        raise TrackingError(f"The {STAGE_ALIASES[stage]} of {name} cannot be looked up: {first_line(error)}") from error


def catch_up(store: Store, name: str) -> None:
    """Make history, aliases and stages agree before something is decided by them. Raises TrackingError."""
    note_found(store, name, STAGE_ALIASES)
    finish(store, name)


def finish(store: Store, name: str) -> bool:
    """Bring decisions to their end that a killed command has only written down. Returns whether there were any.

    Nothing is touched where somebody has moved something since, or where the history is damaged. Raises TrackingError.
    """
    history = read_history(store, name)
    if history.is_reconciled or history.damage or any(_unexplained(store, name, STAGE_ALIASES).values()):
        return False
    settle(store, name)
    return True


def note_found(store: Store, name: str, stages: Iterable[str]) -> None:
    """Take a version that somebody gave a stage by other means into the history, so that nothing that was in production is forgotten."""
    found = _unexplained(store, name, stages)
    if not any(found.values()):
        return
    time.sleep(
        _MOVING_S
    )  # a command at work beside this one may have moved the alias by a decision that it has just read
    still = _unexplained(store, name, found)
    for stage in (stage for stage in found if found[stage] == still[stage]):
        for version in found[stage]:
            append(
                store,
                name,
                Event(FOUND, stage, version, _told(store, name, stage), "it held the stage, given by other means"),
            )


def note_loss(store: Store, name: str) -> None:
    """Go on from a damaged history: take who holds the stages for what was decided, and note what nobody can read any more."""
    note_found(store, name, STAGE_ALIASES)
    append(store, name, Event(LOST, "", None, None, "; ".join(read_history(store, name).damage)))


def _unexplained(store: Store, name: str, stages: Iterable[str]) -> dict[str, list[str]]:
    """Versions that hold a stage by no decision, by stage, whether a decision was brought to its end or not; the alias's last.

    Where nothing was ever decided of a stage, MLflow's own counts as well as the alias.
    """
    history = read_history(store, name)
    found = versions(store, name)
    there = [version.version for version in found]
    possible = [
        standing(history.events[:number], there) for number in range(history.num_reconciled, len(history.events) + 1)
    ]
    unexplained: dict[str, list[str]] = {}
    for stage in stages:
        now = history.aliases.get(STAGE_ALIASES[stage])
        in_stage = (
            []
            if history.has_moved(stage)
            else [entry.version for entry in found if entry.stage == stage and entry.version != now]
        )
        by_alias = [] if now is None or (now,) in {state.of(stage)[-1:] for state in possible} else [now]
        unexplained[stage] = [*sorted(in_stage, key=int), *by_alias]
    return unexplained


def _told(store: Store, name: str, stage: str) -> str | None:
    """Who holds a stage by the history, there or not."""
    return next(iter(standing(read_history(store, name).events).of(stage)[-1:]), None)


def _number(version: Version | None) -> str | None:
    return version.version if version is not None else None


def _tell(store: Store, chosen: Version, event: Event) -> None:
    """On the version itself, where MLflow's pages show it."""
    record = {
        "promoted_to": event.stage,
        "promoted_by": event.by,
        "promoted_at": event.at,
        "promoted_because": event.reason,
        "promoted_instead_of": event.before or "none",
    }
    try:
        for key, value in record.items():
            store.client.set_model_version_tag(chosen.name, chosen.version, TAG + key, value)
    except FAULTS as error:
        raise TrackingError(f"{chosen.uri} is promoted, but its tags do not say so: {first_line(error)}") from error
