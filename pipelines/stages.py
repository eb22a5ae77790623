"""What is wrong with the stages of a registered model: aliases and stages that point elsewhere than its history, or that history itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.lifecycle.audit import Finding, Repair
from sbert_prune.events import standing
from sbert_prune.registry.history import read_history
from sbert_prune.registry.reconcile import actual, tells_stages_by_tags, wanted
from sbert_prune.registry.versions import STAGE_ALIASES, versions

if TYPE_CHECKING:
    from sbert_prune.registry.history import History
    from sbert_prune.tracking.store import Store


def audit_stages(store: Store, name: str, there: list[str]) -> list[Finding]:
    """A damaged history; else aliases and stages that are not where it says, and a champion that is gone."""
    history = read_history(store, name)
    if history.damage:  # what it says of stages cannot be trusted
        advice = (
            "restore the tags from a backup of the store; repair=true notes the loss, and takes who holds the stages for what was decided"
        )
        return [Finding("history", "; ".join(history.damage), advice, Repair(writes_off=True))]
    return [*_lost_champion(standing(history.events).production, there), *_moved(store, name, history, there)]


def _lost_champion(held: tuple[str, ...], there: list[str]) -> Iterator[Finding]:
    """held: all that have held Production, the present one last."""
    if held and held[-1] not in there:
        next_best = [version for version in held if version in there]
        what_then = f"version {next_best[-1]} held Production before" if next_best else "no version that held it before is there"
        advice = f"{what_then}: {'repair=true gives it back, or ' if next_best else ''}promote another one"
        repair = Repair(settles=True, rolls_back=True) if next_best else None
        yield Finding("champion", f"version {held[-1]}, in Production by the history, was deleted", advice, repair)


def _moved(store: Store, name: str, history: History, there: list[str]) -> Iterator[Finding]:
    """What was moved by other means is moved back, or noted where our history knows nothing of that stage yet."""
    now = actual(store, name, by_tags=tells_stages_by_tags(versions(store, name)))
    then = wanted(history.events, there)
    stage_of = {alias: stage for stage, alias in STAGE_ALIASES.items() if not history.has_moved(stage)}
    for alias in sorted(now.aliases.keys() | then.aliases.keys()):
        is_at, ought = now.aliases.get(alias, "none"), then.aliases.get(alias, "none")
        if is_at != ought:
            gone = "" if is_at == "none" or is_at in there else ", which is not there"
            moving = "repair=true moves it; promote the version if it was moved on purpose"
            found = f"names version {is_at}{gone}; the history says {ought}"
            yield _misplaced(f"alias {alias}", found, moving, stage_of.get(alias))
    for number in sorted(now.stages.keys() | then.stages.keys(), key=int):
        is_in, ought = now.stages.get(number, "none"), then.stages.get(number, "none")
        if is_in != ought:
            notes = is_in if is_in in stage_of.values() else None
            yield _misplaced(f"version {number}", f"is in stage {is_in}; the history says {ought}", "repair=true moves it", notes)


def _misplaced(subject: str, found: str, moving: str, notes: str | None) -> Finding:
    advice = "repair=true takes it into the history, which knows nothing of that stage yet" if notes else moving
    return Finding(subject, found, advice, Repair(settles=True, notes=notes))
