"""Reconcile aliases and stages with the history, safely against concurrent writers."""

from __future__ import annotations

import random
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from sbert_prune.errors import TrackingError
from sbert_prune.registry.history import PRODUCTION, STAGING, mark_reconciled, read_history, stage_holders
from sbert_prune.registry.listing import OUR_ALIASES, list_all
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.store import TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sbert_prune.registry.history import Event, History
    from sbert_prune.registry.listing import Listing
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

_ARCHIVED = "Archived"
_PREVIOUS = "previous"
_TRIES = 10
_RETRY_S = 15.0  # a locked database makes a single try take 20 s
_NO_STAGES = {"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"}


@dataclass(frozen=True)
class State:
    """Aliases and stages, as they are or as they should be.

    Attributes:
        aliases: The version that each of our aliases names.
        stages: The stage of each version in Production or Staging.
    """

    aliases: dict[str, str]
    stages: dict[str, str]


def expected_state(events: Sequence[Event], existing: Collection[str]) -> State:
    """Return the aliases and stages that follow from the history.

    Args:
        events: Oldest first.
        existing: The versions that exist.
    """
    holders = stage_holders(events, existing)
    champion, previous, challenger = holders.production[-1:], holders.production[-2:-1], holders.staging[-1:]
    named = (("champion", champion), (_PREVIOUS, previous), ("challenger", challenger))
    aliases = {alias: holder[0] for alias, holder in named if holder}
    return State(aliases, {**dict.fromkeys(challenger, STAGING), **dict.fromkeys(champion, PRODUCTION)})


def current_state(history: History, entries: Iterable[Version], *, by_tags: bool = False) -> State:
    """Return the aliases and stages in the registry.

    Args:
        history: The history, which is read together with the aliases.
        entries: The versions.
        by_tags: Read the stages from our tags, for a server that has no stages.
    """
    aliases = {alias: history.aliases[alias] for alias in OUR_ALIASES if alias in history.aliases}
    stages = {version.version: version.tags.get("stage", "None") if by_tags else version.stage for version in entries}
    return State(aliases, {version: stage for version, stage in stages.items() if stage in {PRODUCTION, STAGING}})


def has_stages_in_tags_only(entries: Sequence[Version]) -> bool:
    """Return whether the server has no stages: every version's stage is None, but our tags record stages."""
    return all(version.stage == "None" for version in entries) and any("stage" in version.tags for version in entries)


def reconcile(store: Store, listing: Listing, *, clock: Callable[[], float] = time.monotonic) -> bool:
    """Set aliases and stages to what follows from the history until they match, then mark the history as reconciled.

    The last process to write has read every event recorded before, so concurrent commands end in the same state.

    Args:
        store: The tracking store.
        listing: The versions; they are listed again only after an error.
        clock: Returns the time in seconds, from any origin.

    Returns:
        Whether the server has stages.

    Raises:
        TrackingError: The store refuses, or it stays locked.
    """
    name, has_stages, began = listing.name, True, clock()
    last_error: BaseException | None = None
    for attempt in range(_TRIES):
        try:
            listing = list_all(store, name) if last_error is not None else listing
            history = read_history(store, name)
            entries = listing.current(store, history)
            current = current_state(history, entries.values(), by_tags=not has_stages)
            expected = expected_state(history.events, entries)
            if current == expected:
                mark_reconciled(store, name, history)
                return has_stages
            _move_aliases(store, name, current.aliases, expected.aliases)
            has_stages = _move_stages(store, name, current.stages, expected.stages) and has_stages
        # Of two processes that write the same alias at once, one gets a database error; an answer may be cut.
        except (*FAULTS, TrackingError) as error:
            last_error = error
            if clock() - began > _RETRY_S:
                break
            time.sleep(random.uniform(0, 0.05 * (attempt + 1)))
    why = first_line(last_error) if last_error else "another process keeps changing them."
    raise TrackingError(
        f"Alias and stage of {name} could not be moved: {why} The decision is recorded in the history: "
        "the next promote or rollback, or verify with repair=true, applies it."
    ) from last_error


def _move_aliases(store: Store, name: str, current: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for alias in current.keys() - expected.keys():
        store.client.delete_registered_model_alias(name, alias)
    for alias, version in expected.items():
        if current.get(alias) != version:
            store.client.set_registered_model_alias(name, alias, version)


def _move_stages(store: Store, name: str, current: Mapping[str, str], expected: Mapping[str, str]) -> bool:
    """Return whether the server has stages. A tag records the stage as well, for a server that has none."""
    changed = dict.fromkeys(current.keys() - expected.keys(), _ARCHIVED)
    changed |= {version: stage for version, stage in expected.items() if current.get(version) != stage}
    for version, stage in changed.items():
        store.client.set_model_version_tag(name, version, f"{TAG}stage", stage)
    try:
        for version, stage in changed.items():
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", FutureWarning
                )  # stages are deprecated since MLflow 2.9; the alias carries on without them
                store.client.transition_model_version_stage(name, version, stage)
    except AttributeError:
        return False
    except MlflowException as error:
        if error.error_code in _NO_STAGES or "unsupported" in str(error).lower():
            return False
        raise
    return True
