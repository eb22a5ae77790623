"""Promote a version, roll back, and record in the history what was changed by other means."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
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
    stage_holders,
)
from sbert_prune.registry.listing import list_all
from sbert_prune.registry.reconcile import reconcile
from sbert_prune.registry.versions import STAGE_ALIASES, alias_holder
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.creation import ask_again
from sbert_prune.tracking.store import TAG, store_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sbert_prune.registry.history import History
    from sbert_prune.registry.listing import Listing
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

_CONCURRENT_S = 0.5  # a concurrent command that moves an alias has read the newest event within this time


@dataclass(frozen=True)
class PromotionResult:
    """The result of a promotion or rollback.

    Attributes:
        before: The version that had the stage before, even if it was deleted since.
        has_stages: Whether the server has stages.
    """

    before: str | None
    has_stages: bool


def promote(
    store: Store, listing: Listing, chosen: Version, stage: str, *, reason: str, numbers: Mapping[str, float]
) -> PromotionResult:
    """Give a stage and its alias to a version; the one before becomes `previous` and Archived. Raises TrackingError."""
    event = Event(PROMOTED, stage, chosen.version, _recorded_holder(store, chosen.name, stage), reason, dict(numbers))
    append(store, chosen.name, event)
    has_stages = reconcile(store, listing)
    _tag_version(store, chosen, event)
    return PromotionResult(event.before, has_stages)


def roll_back(store: Store, listing: Listing, reason: str) -> tuple[Version, PromotionResult]:
    """Give Production back to the version that had it before, even if the last event was recorded but not applied.

    Returns that version. Raises TrackingError if there is none.
    """
    name = listing.name
    note_found(store, listing, STAGE_ALIASES)
    history = read_history(store, name)
    existing = listing.current(store, history)
    production = stage_holders(history.events).production
    if production and production[-1] in existing:
        current: str | None = production[-1]
    else:
        named = holder(store, name, PRODUCTION)
        current = named.version if named is not None else None
    earlier = [version for version in production if version in existing and version != current]
    if not earlier:
        raise TrackingError(
            f"{name} has no version to go back to: no other version that was in Production still exists. "
            f"See its history: {command_line('history')}"
        )
    target, before = existing[earlier[-1]], current or production[-1]
    append(store, name, Event(ROLLED_BACK, PRODUCTION, target.version, before, reason))
    return target, PromotionResult(before, reconcile(store, listing))


def holder(store: Store, name: str, stage: str) -> Version | None:
    """Return the version that the stage's alias names; None if there is none. Raises TrackingError."""
    with store_errors(f"The {STAGE_ALIASES[stage]} of {name} cannot be looked up"):
        return alias_holder(store, name, STAGE_ALIASES[stage])


def catch_up(store: Store, listing: Listing) -> None:
    """Make history, aliases and stages agree, before a decision is based on them. Raises TrackingError."""
    note_found(store, listing, STAGE_ALIASES)
    finish(store, listing)


def finish(store: Store, listing: Listing) -> bool:
    """Apply events that a killed command has recorded but not applied. Return whether there were any.

    Does nothing if an alias or stage was moved by other means since, or if the history is damaged.
    Raises TrackingError.
    """
    history = read_history(store, listing.name)
    if history.is_reconciled or history.damage:
        return False
    if any(_unexplained(history, listing.current(store, history), STAGE_ALIASES).values()):
        return False
    reconcile(store, listing)
    return True


def note_found(store: Store, listing: Listing, stages: Iterable[str]) -> None:
    """Record versions that were given a stage by other means, so that a rollback can return to them."""
    name = listing.name
    history = read_history(store, name)
    first = _unexplained(history, listing.current(store, history), stages)
    if not any(first.values()):
        return
    time.sleep(_CONCURRENT_S)  # a concurrent command may have moved the alias for an event that was recorded just now
    history = read_history(store, name)
    second = _unexplained(history, listing.current(store, history), first)
    for stage in (stage for stage in first if first[stage] == second[stage]):
        for version in first[stage]:
            before = _recorded_holder(store, name, stage)
            append(store, name, Event(FOUND, stage, version, before, "it held the stage, given by other means"))


def note_loss(store: Store, name: str) -> None:
    """Record the current holders of the stages, and the unreadable entries of a damaged history as lost."""
    note_found(store, list_all(store, name), STAGE_ALIASES)
    append(store, name, Event(LOST, "", None, None, "; ".join(read_history(store, name).damage)))


def _unexplained(history: History, entries: Mapping[str, Version], stages: Iterable[str]) -> dict[str, list[str]]:
    """Return, by stage, the versions that no event, applied or not, gave the stage to; the alias's version last.

    If no event is about a stage, MLflow's own stage counts as well as the alias.
    """
    possible = [
        stage_holders(history.events[:number], entries)
        for number in range(history.num_reconciled, len(history.events) + 1)
    ]
    unexplained: dict[str, list[str]] = {}
    for stage in stages:
        named = history.aliases.get(STAGE_ALIASES[stage])
        in_stage = (
            []
            if history.has_moved(stage)
            else [number for number, version in entries.items() if version.stage == stage and number != named]
        )
        by_alias = [] if named is None or (named,) in {holders.of(stage)[-1:] for holders in possible} else [named]
        unexplained[stage] = [*sorted(in_stage, key=int), *by_alias]
    return unexplained


def _recorded_holder(store: Store, name: str, stage: str) -> str | None:
    """Return the version that has a stage according to the history, deleted or not."""
    return next(iter(stage_holders(read_history(store, name).events).of(stage)[-1:]), None)


def _tag_version(store: Store, chosen: Version, event: Event) -> None:
    """Record the promotion in the version's tags, which MLflow's pages show."""
    tags = {
        "promoted_to": event.stage,
        "promoted_by": event.by,
        "promoted_at": event.at,
        "promoted_because": event.reason,
        "promoted_instead_of": event.before or "none",
    }
    with store_errors(f"{chosen.uri} is promoted, but its tags could not be set"):
        for key, value in tags.items():
            ask_again(
                store.client,
                partial(store.client.set_model_version_tag, chosen.name, chosen.version, TAG + key, value),
            )
