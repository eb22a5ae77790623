"""Bringing aliases and stages to what the history says, whoever else writes at the same time."""

from __future__ import annotations

import random
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from sbert_prune.errors import TrackingError
from sbert_prune.registry.history import PRODUCTION, STAGING, mark_reconciled, read_history, standing
from sbert_prune.registry.versions import STAGE_ALIASES, versions
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.store import TAG

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sbert_prune.registry.history import Event
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

_ARCHIVED = "Archived"
_PREVIOUS = "previous"
_TRIES = 10
_NO_STAGES = {"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"}


@dataclass(frozen=True)
class State:
    """Where aliases and stages are, or ought to be. stages: of the versions in Production or Staging."""

    aliases: dict[str, str]
    stages: dict[str, str]


def wanted(events: Sequence[Event], there: Collection[str]) -> State:
    """What the history says. there: the versions that there are."""
    found = standing(events, there)
    champion, previous, challenger = found.production[-1:], found.production[-2:-1], found.staging[-1:]
    aliases = {
        alias: held[0]
        for alias, held in (("champion", champion), (_PREVIOUS, previous), ("challenger", challenger))
        if held
    }
    return State(aliases, {**dict.fromkeys(challenger, STAGING), **dict.fromkeys(champion, PRODUCTION)})


def actual(store: Store, name: str, *, by_tags: bool = False) -> State:
    """What the registry says. by_tags: stages as our tags tell them, for a server that has none."""
    registered = store.client.get_registered_model(name)
    ours = {*STAGE_ALIASES.values(), _PREVIOUS}
    aliases = {alias: str(version) for alias, version in registered.aliases.items() if alias in ours}
    stages = {
        version.version: version.tags.get("stage", "None") if by_tags else version.stage
        for version in versions(store, name)
    }
    return State(aliases, {version: stage for version, stage in stages.items() if stage in {PRODUCTION, STAGING}})


def has_stages_in_tags_only(found: Sequence[Version]) -> bool:
    """Whether the server has no stages: promoted versions are in none, and our tags alone tell them."""
    return all(version.stage == "None" for version in found) and any("stage" in version.tags for version in found)


def settle(store: Store, name: str) -> bool:
    """Bring aliases and stages to what the history says, and look again, until nobody else has changed them meanwhile; then mark it.

    Whoever writes last has read every decision that was taken before that, so two commands at once come to the same end.
    Returns whether the server has stages. Raises TrackingError.
    """
    has_stages = True
    fault: BaseException | None = None
    for tried in range(_TRIES):
        try:
            now, history = actual(store, name, by_tags=not has_stages), read_history(store, name)
            then = wanted(history.events, [version.version for version in versions(store, name)])
            if now == then:
                mark_reconciled(store, name, history)
                return has_stages
            _move_aliases(store, name, now.aliases, then.aliases)
            has_stages = _move_stages(store, name, now.stages, then.stages) and has_stages
        except FAULTS as error:  # two that write the same alias at once: one of them gets an error of the database
            fault = error
            time.sleep(random.uniform(0, 0.05 * (tried + 1)))
    why = first_line(fault) if fault else "somebody else keeps changing it."
    raise TrackingError(
        f"Alias and stage of {name} could not be moved: {why} The decision stands in its history: the next promote or rollback, or verify "
        "with repair=true, brings alias and stage to it."
    ) from fault


def _move_aliases(store: Store, name: str, now: Mapping[str, str], then: Mapping[str, str]) -> None:
    for alias in now.keys() - then.keys():
        store.client.delete_registered_model_alias(name, alias)
    for alias, version in then.items():
        if now.get(alias) != version:
            store.client.set_registered_model_alias(name, alias, version)


def _move_stages(store: Store, name: str, now: Mapping[str, str], then: Mapping[str, str]) -> bool:
    """Returns whether the server has stages. A tag says the same for one that has none."""
    changed = dict.fromkeys(now.keys() - then.keys(), _ARCHIVED)
    changed |= {version: stage for version, stage in then.items() if now.get(version) != stage}
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
