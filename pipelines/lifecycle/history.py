"""The history of a registered model, line by line for people."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.steps.context import open_store
from sbert_prune.errors import TrackingError
from sbert_prune.metrics import STS_DEV
from sbert_prune.registry import promotion
from sbert_prune.registry.history import LOST, PROMOTED, REFUSED, ROLLED_BACK, read_history
from sbert_prune.registry.policy import SIZE
from sbert_prune.registry.reconcile import actual, wanted
from sbert_prune.registry.versions import existing_versions
from sbert_prune.system.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbert_prune.registry.history import Event
    from sbert_prune.registry.version import Version


def format_history(name: str) -> list[str]:
    """Registrations, promotions, refusals and rollbacks in their order, and who holds what now.

    A decision that a killed command has only written down is brought to its end, where the store lets us. Raises TrackingError.
    """
    with open_store() as store:
        found = existing_versions(store, name)
        with suppress(TrackingError):  # who may only read
            if promotion.finish(store, name):
                echo("brought to its end: a decision that a killed command had only written down")
        history = read_history(store, name)
        there = {version.version for version in found}
        told = [
            (version.created.isoformat(timespec="milliseconds") if version.created else "", _registered(version))
            for version in found
        ]
        told += [(event.at, _decided(event, there)) for event in history.events]
        lines = [f"{at[:16].replace('T', ' ')}  {line}" for at, line in sorted(told, key=lambda entry: entry[0])]
        lines += [
            f"{'':16}  {_line('deleted', f'version {number}: it is no longer there')}"
            for number in _gone(found, history.events)
        ]
        lines += [f"{'':16}  {_line('damaged', f'{damage}: mlflow run . -e verify')}" for damage in history.damage]
        now = actual(store, name)
        held = (
            ", ".join(f"{alias} is version {now.aliases[alias]}" for alias in sorted(now.aliases))
            or "no version holds a stage"
        )
        if now.aliases != wanted(history.events, there).aliases:
            held += "; the history says otherwise: mlflow run . -e verify"
        return [f"history of {name}, times in UTC", *lines, f"now: {held}"]


def _registered(version: Version) -> str:
    tags, metrics = version.tags, version.metrics
    told = [
        f"{tags.get('role', 'variant')}, layers {tags.get('kept_layers', 'unknown')} of {tags.get('depth', 'unknown')}"
    ]
    told += [f"dev {metrics[STS_DEV]:.4f}"] if STS_DEV in metrics else []
    told += [f"{metrics[SIZE]:.1f} MB"] if SIZE in metrics else []
    return _line("registered", f"version {version.version}: {', '.join(told)}")


def _decided(event: Event, there: set[str]) -> str:
    instead = "" if event.before in (None, event.version) else f" instead of version {event.before}"
    gone = " (no longer there)" if event.version is not None and event.version not in there else ""
    about = f"version {event.version}{gone}" if event.version is not None else "no version"
    moved = {
        PROMOTED: f"{about} to {event.stage}{instead}",
        REFUSED: f"{about} for {event.stage}" + (f", version {event.before} stays" if event.before else ""),
        ROLLED_BACK: f"{event.stage} to {about}" + (f" from version {event.before}" if event.before else ""),
        LOST: "entries of this history",
    }.get(event.what, f"{about} in {event.stage}{instead}")
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in event.numbers.items())
    return _line(event.what, f"{moved}, by {event.by}: {event.reason}{f' ({numbers})' if numbers else ''}")


def _line(what: str, told: str) -> str:
    """Others write into a store, too: nothing of theirs makes a line of its own."""
    return f"{one_line(what):<11}  {one_line(told)}"


def _gone(found: Sequence[Version], events: Sequence[Event]) -> list[int]:
    """Versions that were once there: numbers are never given twice."""
    there = {int(version.version) for version in found}
    spoken_of = {int(event.version) for event in events if event.version is not None}
    return sorted({*range(1, max(there)), *spoken_of} - there)
