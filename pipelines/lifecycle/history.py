"""Print the history of a registered model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.console import echo, report_facts
from pipelines.steps.context import open_store
from sbert_prune.errors import TrackingError
from sbert_prune.metrics import SIZE, STS_DEV
from sbert_prune.registry import promotion
from sbert_prune.registry.history import LOST, PROMOTED, REFUSED, ROLLED_BACK, read_history
from sbert_prune.registry.listing import list_all
from sbert_prune.registry.reconcile import current_state, expected_state
from sbert_prune.system.command_line import command_line
from sbert_prune.system.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbert_prune.registry.history import Event
    from sbert_prune.registry.version import Version


def format_history(name: str) -> list[str]:
    """Return registrations, promotions, refusals and rollbacks in order, and the current aliases, line by line.

    Applies an event that a killed command has recorded but not applied, if the user may write. Raises TrackingError.
    """
    with open_store(artifacts=False, writes=False) as store:
        listing = list_all(store, name, must_exist=True)
        versions = listing.versions
        with suppress(TrackingError):  # the user may have read permission only
            if promotion.finish(store, listing):
                echo("completed: a decision that a killed command had recorded but not applied")
        history = read_history(store, name)
        existing = {version.version for version in versions}
        timed = [
            (version.created.isoformat(timespec="milliseconds") if version.created else "", _registered(version))
            for version in versions
        ]
        timed += [(event.at, _decided(event, existing)) for event in history.events]
        lines = [f"{at[:16].replace('T', ' ')}  {line}" for at, line in sorted(timed, key=lambda entry: entry[0])]
        lines += [
            f"{'':16}  {_line('deleted', f'version {number}: it is no longer there')}"
            for number in _deleted(versions, history.events)
        ]
        verify = command_line("verify")
        lines += [f"{'':16}  {_line('damaged', f'{damage}: {verify}')}" for damage in history.damage]
        aliases = current_state(history, versions).aliases
        report_facts(
            registered_model=name,
            versions=[
                {"version": version.version, "created": version.created.isoformat() if version.created else None}
                | {"role": version.tags.get("role"), "kept_layers": version.tags.get("kept_layers")}
                | {"metrics": {name: version.metrics[name] for name in (STS_DEV, SIZE) if name in version.metrics}}
                for version in versions
            ],
            events=[asdict(event) for event in history.events],
            deleted=_deleted(versions, history.events),
            damage=list(history.damage),
            aliases=aliases,
        )
        summary = ", ".join(f"{alias} is version {aliases[alias]}" for alias in sorted(aliases))
        summary = summary or "no version holds a stage"
        if aliases != expected_state(history.events, existing).aliases:
            summary += f"; the history differs: {verify}"
        return [f"history of {name}, times in UTC", *lines, f"now: {summary}"]


def _registered(version: Version) -> str:
    tags, metrics = version.tags, version.metrics
    parts = [
        f"{tags.get('role', 'variant')}, layers {tags.get('kept_layers', 'unknown')} of {tags.get('depth', 'unknown')}"
    ]
    parts += [f"dev {metrics[STS_DEV]:.4f}"] if STS_DEV in metrics else []
    parts += [f"{metrics[SIZE]:.1f} MB"] if SIZE in metrics else []
    return _line("registered", f"version {version.version}: {', '.join(parts)}")


def _decided(event: Event, existing: set[str]) -> str:
    instead = "" if event.before in (None, event.version) else f" instead of version {event.before}"
    gone = " (no longer there)" if event.version is not None and event.version not in existing else ""
    about = f"version {event.version}{gone}" if event.version is not None else "no version"
    moved = {
        PROMOTED: f"{about} to {event.stage}{instead}",
        REFUSED: f"{about} for {event.stage}" + (f", version {event.before} stays" if event.before else ""),
        ROLLED_BACK: f"{event.stage} to {about}" + (f" from version {event.before}" if event.before else ""),
        LOST: "entries of this history",
    }.get(event.what, f"{about} in {event.stage}{instead}")
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in event.numbers.items())
    return _line(event.what, f"{moved}, by {event.by}: {event.reason}{f' ({numbers})' if numbers else ''}")


def _line(what: str, text: str) -> str:
    """Return one line, whatever text other users have written into the store."""
    return f"{one_line(what):<11}  {one_line(text)}"


def _deleted(versions: Sequence[Version], events: Sequence[Event]) -> list[int]:
    """Return the numbers of deleted versions; numbers are never reused."""
    existing = {int(version.version) for version in versions}
    mentioned = {int(event.version) for event in events if event.version is not None}
    return sorted({*range(1, max(existing)), *mentioned} - existing)
