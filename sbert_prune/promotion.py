"""Moving a stage and its alias from version to version, so that the registry always comes to what its history says."""

from __future__ import annotations

import random
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from sbert_prune.delivery import FAULTS, first_line
from sbert_prune.errors import TrackingError
from sbert_prune.history import PRODUCTION, STAGING, Event, append, read_history, standing
from sbert_prune.registry import STAGE_ALIASES, alias_holder, versions
from sbert_prune.store import TAG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sbert_prune.registry import Version
    from sbert_prune.store import Store

_ARCHIVED = "Archived"
_PREVIOUS = "previous"
_TRIES = 10
_NO_STAGES = {"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"}


@dataclass(frozen=True)
class State:
    """Where aliases and stages are, or ought to be. stages: of the versions in Production or Staging."""

    aliases: dict[str, str]
    stages: dict[str, str]


@dataclass(frozen=True)
class Moved:
    """What a command has brought about. before: the version that held the stage.  has_stages: whether the server still knows stages."""

    before: Version | None
    has_stages: bool


def promote(store: Store, chosen: Version, stage: str, reason: str, numbers: Mapping[str, float]) -> Moved:
    """Give a stage and its alias to a version; the one before becomes `previous` and Archived. Raises TrackingError."""
    note_found(store, chosen.name)
    before = holder(store, chosen.name, stage)
    event = Event("promoted", stage, chosen.version, before.version if before else None, reason, dict(numbers))
    append(store, chosen.name, event)
    has_stages = settle(store, chosen.name)
    _tell(store, chosen, event)
    return Moved(before, has_stages)


def roll_back(store: Store, name: str, reason: str) -> tuple[Version, Moved]:
    """Give Production back to the version that held it before. Returns that version. Raises TrackingError where there is none."""
    note_found(store, name)
    there = {version.version: version for version in versions(store, name)}
    now = holder(store, name, PRODUCTION)
    held = standing(read_history(store, name), there).production
    earlier = [version for version in held if now is None or version != now.version]
    if not earlier:
        raise TrackingError(
            f"{name} has no version to go back to: none that held Production before is still there. mlflow run . -e history tells what was."
        )
    target = there[earlier[-1]]
    append(store, name, Event("rolled back", PRODUCTION, target.version, now.version if now else None, reason))
    return target, Moved(now, settle(store, name))


def holder(store: Store, name: str, stage: str) -> Version | None:
    """The version that holds a stage's alias. Raises TrackingError."""
    try:
        return alias_holder(store, name, STAGE_ALIASES[stage])
    except FAULTS as error:
        raise TrackingError(f"The {STAGE_ALIASES[stage]} of {name} cannot be looked up: {first_line(error)}") from error


def note_found(store: Store, name: str) -> None:
    """Take a champion that somebody named by other means into the history, so that nothing that was in production is forgotten."""
    there = [version.version for version in versions(store, name)]
    events = read_history(store, name)
    for stage in STAGE_ALIASES:
        now, told = holder(store, name, stage), standing(events, there).of(stage)
        if now is not None and now.version not in told[-1:]:
            found = Event("found", stage, now.version, told[-1] if told else None, "it held the alias, given by other means")
            append(store, name, found)


def wanted(store: Store, name: str) -> State:
    """What the history says."""
    found = standing(read_history(store, name), [version.version for version in versions(store, name)])
    champion, previous, challenger = found.production[-1:], found.production[-2:-1], found.staging[-1:]
    aliases = {alias: held[0] for alias, held in (("champion", champion), (_PREVIOUS, previous), ("challenger", challenger)) if held}
    return State(aliases, {**dict.fromkeys(challenger, STAGING), **dict.fromkeys(champion, PRODUCTION)})


def actual(store: Store, name: str, *, by_tags: bool = False) -> State:
    """What the registry says. by_tags: stages as our tags tell them, for a server that has none."""
    registered = store.client.get_registered_model(name)
    ours = {*STAGE_ALIASES.values(), _PREVIOUS}
    aliases = {alias: str(version) for alias, version in registered.aliases.items() if alias in ours}
    stages = {version.version: version.tags.get("stage", "None") if by_tags else version.stage for version in versions(store, name)}
    return State(aliases, {version: stage for version, stage in stages.items() if stage in {PRODUCTION, STAGING}})


def tells_stages_by_tags(found: Sequence[Version]) -> bool:
    """Whether the server has no stages: promoted versions are in none, and our tags alone tell them."""
    return all(version.stage == "None" for version in found) and any("stage" in version.tags for version in found)


def settle(store: Store, name: str) -> bool:
    """Bring aliases and stages to what the history says, and look again, until nobody else has changed them meanwhile.

    Whoever writes last has read every decision that was taken before that, so two commands at once come to the same end.
    Returns whether the server has stages. Raises TrackingError.
    """
    has_stages = True
    fault: BaseException | None = None
    for tried in range(_TRIES):
        try:
            now, then = actual(store, name, by_tags=not has_stages), wanted(store, name)
            if now == then:
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
                warnings.simplefilter("ignore", FutureWarning)  # stages are deprecated since MLflow 2.9; the alias carries on without them
                store.client.transition_model_version_stage(name, version, stage)
    except AttributeError:
        return False
    except MlflowException as error:
        if error.error_code in _NO_STAGES or "unsupported" in str(error).lower():
            return False
        raise
    return True


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
