"""The history of a registered model, line by line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.context import open_store
from sbert_prune.errors import TrackingError
from sbert_prune.history import read_history
from sbert_prune.metric_names import STS_DEV
from sbert_prune.policy import SIZE
from sbert_prune.promotion import actual, wanted
from sbert_prune.registry import versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbert_prune.history import Event
    from sbert_prune.registry import Version


def tell_history(name: str) -> list[str]:
    """Registrations, promotions, refusals and rollbacks in their order, and who holds what now. Raises TrackingError."""
    with open_store() as store:
        found = versions(store, name)
        events = read_history(store, name) if found else []
        if not found:
            raise TrackingError(
                f"registered_model={name}: there is no such registered model in this store, or it has no versions any more."
            )
        there = {version.version for version in found}
        told = [(version.created.isoformat(timespec="milliseconds") if version.created else "", _registered(version)) for version in found]
        told += [(event.at, _decided(event, there)) for event in events]
        lines = [f"{at[:16].replace('T', ' ')}  {line}" for at, line in sorted(told, key=lambda entry: entry[0])]
        lines += [f"{'':16}  {'deleted':<11}  version {number}: it is no longer there" for number in _gone(found, events)]
        now = actual(store, name)
        held = ", ".join(f"{alias} is version {now.aliases[alias]}" for alias in sorted(now.aliases)) or "no version holds a stage"
        if now.aliases != wanted(store, name).aliases:
            held += "; the history says otherwise: mlflow run . -e verify"
        return [f"history of {name}, times in UTC", *lines, f"now: {held}"]


def _registered(version: Version) -> str:
    tags, metrics = version.tags, version.metrics
    told = [f"{tags.get('role', 'variant')}, layers {tags.get('kept_layers', 'unknown')} of {tags.get('depth', 'unknown')}"]
    told += [f"dev {metrics[STS_DEV]:.4f}"] if STS_DEV in metrics else []
    told += [f"{metrics[SIZE]:.1f} MB"] if SIZE in metrics else []
    return f"{'registered':<11}  version {version.version}: {', '.join(told)}"


def _decided(event: Event, there: set[str]) -> str:
    instead = "" if event.before in (None, event.version) else f" instead of version {event.before}"
    gone = " (no longer there)" if event.version is not None and event.version not in there else ""
    about = f"version {event.version}{gone}" if event.version is not None else "no version"
    moved = {
        "promoted": f"{about} to {event.stage}{instead}",
        "refused": f"{about} for {event.stage}" + (f", version {event.before} stays" if event.before else ""),
        "rolled back": f"{event.stage} to {about} from version {event.before}",
        "found": f"{about} in {event.stage}{instead}",
    }[event.what]
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in event.numbers.items())
    return f"{event.what:<11}  {moved}, by {event.by}: {event.reason}{f' ({numbers})' if numbers else ''}"


def _gone(found: Sequence[Version], events: Sequence[Event]) -> list[str]:
    """Versions that were once there: numbers are never given twice."""
    there = {version.version for version in found}
    spoken_of = [int(event.version) for event in events if event.version is not None]
    newest = max([*map(int, there), *spoken_of], default=0)
    return [str(number) for number in range(1, newest + 1) if str(number) not in there]
