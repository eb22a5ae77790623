"""Looking through a registry, telling what is wrong in a table, and mending what can be mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.lifecycle.audit import Finding, Repair, audit_references, audit_version
from pipelines.steps.context import open_store
from sbert_prune.errors import TrackingError
from sbert_prune.evaluation.dev_pairs import FILE_NAME
from sbert_prune.registry import promotion
from sbert_prune.registry import versions as registry
from sbert_prune.registry.history import read_history, standing
from sbert_prune.registry.reconcile import actual, has_stages_in_tags_only, settle, wanted
from sbert_prune.registry.versions import STAGE_ALIASES, versions
from sbert_prune.report.tables import table_lines
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.logged_models import add_file
from sbert_prune.tracking.store import pages

if TYPE_CHECKING:
    from sbert_prune.registry.history import History
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store


def audit_stages(store: Store, name: str, there: list[str]) -> list[Finding]:
    """A damaged history; else aliases and stages that are not where it says, and a champion that is gone."""
    history = read_history(store, name)
    if history.damage:  # what it says of stages cannot be trusted
        advice = "restore the tags from a backup of the store; repair=true notes the loss, and takes who holds the stages for what was decided"
        return [Finding("history", "; ".join(history.damage), advice, Repair(writes_off=True))]
    return [*_lost_champion(standing(history.events).production, there), *_moved(store, name, history, there)]


def _lost_champion(held: tuple[str, ...], there: list[str]) -> Iterator[Finding]:
    """held: all that have held Production, the present one last."""
    if held and held[-1] not in there:
        next_best = [version for version in held if version in there]
        what_then = (
            f"version {next_best[-1]} held Production before"
            if next_best
            else "no version that held it before is there"
        )
        advice = f"{what_then}: {'repair=true gives it back, or ' if next_best else ''}promote another one"
        repair = Repair(settles=True, rolls_back=True) if next_best else None
        yield Finding("champion", f"version {held[-1]}, in Production by the history, was deleted", advice, repair)


def _moved(store: Store, name: str, history: History, there: list[str]) -> Iterator[Finding]:
    """What was moved by other means is moved back, or noted where our history knows nothing of that stage yet."""
    now = actual(store, name, by_tags=has_stages_in_tags_only(versions(store, name)))
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
            yield _misplaced(
                f"version {number}", f"is in stage {is_in}; the history says {ought}", "repair=true moves it", notes
            )


def _misplaced(subject: str, found: str, moving: str, notes: str | None) -> Finding:
    advice = "repair=true takes it into the history, which knows nothing of that stage yet" if notes else moving
    return Finding(subject, found, advice, Repair(settles=True, notes=notes))


def verify(name: str | None, *, repair: bool) -> tuple[list[str], bool]:
    """Look through one registered model, or all of ours. Returns lines for people, and whether nothing is wrong (any more)."""
    with open_store() as store:
        names = [name] if name is not None else _ours(store)
        if not names:
            return ["nothing is registered in this store"], True
        rows: list[tuple[str, str, str, str]] = []
        left = 0
        for each in names:
            found = registry.versions(store, each)
            if name is not None and not found and not _is_there(store, each):
                raise TrackingError(f"registered_model={each}: there is no such registered model in this store.")
            for finding, outcome in _look_through(store, each, found, repair=repair):
                rows.append((each, finding.subject, finding.found, outcome or finding.advice))
                left += outcome is None
            echo(f"{each}: {len(found)} version{'s' * (len(found) != 1)} looked at")
        if not rows:
            return ["every version is what it says"], True
        told = table_lines(("model", "about", "found", "mended" if repair and not left else "what to do"), rows)
        return [*told, f"{len(rows)} found, {len(rows) - left} mended"], not left


def _look_through(store: Store, name: str, found: list[Version], *, repair: bool) -> list[tuple[Finding, str | None]]:
    """Findings, each with what was done about it; None where nothing was."""
    outcomes: list[tuple[Finding, str | None]] = []
    ours = [version for version in found if version.tags]
    if len(ours) < len(found):
        echo(f"{name}: {len(found) - len(ours)} of its versions were not made by sbert-prune, and are left alone")
    for version in ours:
        for finding in audit_version(store, version):
            outcomes.append((finding, _mend(store, version, finding) if repair else None))
    outcomes += [(finding, None) for finding in audit_references(ours)]
    if not found:
        return outcomes
    if not repair:
        outcomes += [(finding, None) for finding in audit_stages(store, name, [version.version for version in found])]
        return outcomes
    stages = audit_stages(store, name, [version.version for version in found])
    _mend_stages(store, name, stages)
    return outcomes + [(finding, _mended(finding.repair)) for finding in stages]


def _mend_stages(store: Store, name: str, findings: list[Finding]) -> None:
    repairs = [finding.repair for finding in findings if finding.repair is not None]
    if any(repair.writes_off for repair in repairs):
        promotion.note_loss(store, name)
    promotion.note_found(store, name, sorted({repair.notes for repair in repairs if repair.notes is not None}))
    for finding in findings:
        if finding.repair is not None and finding.repair.rolls_back:
            promotion.roll_back(store, name, finding.found)
    if any(repair.settles for repair in repairs):
        settle(store, name)


def _mended(repair: Repair | None) -> str | None:
    if repair is None:
        return None
    return "mended: noted in the history" if repair.writes_off or repair.notes else "mended: brought to the history"


def _mend(store: Store, version: Version, finding: Finding) -> str | None:
    repair = finding.repair
    if repair is None:
        return None
    try:
        if repair.dev_pairs is not None:
            add_file(store, version.tags["model_id"], FILE_NAME, repair.dev_pairs)
        if repair.tags or repair.metrics:
            registry.restore(store, version, repair.metrics, repair.tags)
    except TrackingError as error:
        echo(str(error))
        return None
    return "mended"


def _ours(store: Store) -> list[str]:
    """Registered models with a version that carries our tags."""
    try:
        found = pages(lambda token: store.client.search_registered_models(page_token=token))
        return [model.name for model in found if any(version.tags for version in registry.versions(store, model.name))]
    except FAULTS as error:
        raise TrackingError(f"The registered models cannot be listed: {first_line(error)}") from error


def _is_there(store: Store, name: str) -> bool:
    try:
        store.client.get_registered_model(name)
    except FAULTS:
        return False
    return True
