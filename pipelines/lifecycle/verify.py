"""Verify a registry: report what is wrong, and repair what can be repaired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.console import echo, report_facts
from pipelines.lifecycle.audit import Finding, Repair, audit_experiments, audit_references, audit_version
from pipelines.steps.context import open_store
from sbert_prune.errors import TrackingError
from sbert_prune.evaluation.dev_pairs import FILE_NAME
from sbert_prune.registry import promotion
from sbert_prune.registry import versions as registry
from sbert_prune.registry.history import read_history, stage_holders
from sbert_prune.registry.listing import list_all
from sbert_prune.registry.reconcile import current_state, expected_state, has_stages_in_tags_only, reconcile
from sbert_prune.registry.versions import STAGE_ALIASES
from sbert_prune.system.table import table_lines
from sbert_prune.tracking.delivery import FAULTS
from sbert_prune.tracking.logged_models import add_file
from sbert_prune.tracking.store import pages, store_errors

if TYPE_CHECKING:
    from sbert_prune.registry.history import History
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store


def audit_stages(store: Store, name: str, existing: list[str]) -> list[Finding]:
    """Return the damage of the history, or else what differs from it: aliases, stages, and a deleted champion."""
    history = read_history(store, name)
    if history.damage:  # aliases and stages cannot be checked against it
        advice = (
            "restore the tags from a backup of the store; repair=true records the loss, and the current holders of the "
            "stages as decided"
        )
        return [Finding("history", "; ".join(history.damage), advice, Repair(writes_off=True))]
    return [
        *_lost_champion(stage_holders(history.events).production, existing),
        *_moved(store, name, history, existing),
    ]


def _lost_champion(production: tuple[str, ...], existing: list[str]) -> Iterator[Finding]:
    if production and production[-1] not in existing:
        earlier = [version for version in production if version in existing]
        previous = (
            f"version {earlier[-1]} was in Production before" if earlier else "no earlier version in Production exists"
        )
        advice = f"{previous}: {'repair=true gives it back, or ' if earlier else ''}promote another one"
        repair = Repair(reconciles=True, rolls_back=True) if earlier else None
        found = f"version {production[-1]}, in Production by the history, was deleted"
        yield Finding("champion", found, advice, repair)


def _moved(store: Store, name: str, history: History, existing: list[str]) -> Iterator[Finding]:
    """Find aliases and stages that were moved by other means.

    A repair moves them back, or records them if the history has no event about that stage yet.
    """
    entries = registry.versions(store, name)
    current = current_state(history, entries, by_tags=has_stages_in_tags_only(entries))
    expected = expected_state(history.events, existing)
    unrecorded = {alias: stage for stage, alias in STAGE_ALIASES.items() if not history.has_moved(stage)}
    for alias in sorted(current.aliases.keys() | expected.aliases.keys()):
        version, should_be = current.aliases.get(alias, "none"), expected.aliases.get(alias, "none")
        if version != should_be:
            deleted = "" if version == "none" or version in existing else ", which does not exist"
            advice = "repair=true moves it; promote the version if it was moved on purpose"
            found = f"names version {version}{deleted}, but the history has {should_be}"
            yield _misplaced(f"alias {alias}", found, advice, unrecorded.get(alias))
    for number in sorted(current.stages.keys() | expected.stages.keys(), key=int):
        stage, should_be = current.stages.get(number, "none"), expected.stages.get(number, "none")
        if stage != should_be:
            found = f"is in stage {stage}, but the history has {should_be}"
            notes = stage if stage in unrecorded.values() else None
            yield _misplaced(f"version {number}", found, "repair=true moves it", notes)


def _misplaced(subject: str, found: str, advice: str, notes: str | None) -> Finding:
    if notes:
        advice = "repair=true records it in the history, which has no event about that stage yet"
    return Finding(subject, found, advice, Repair(reconciles=True, notes=notes))


def verify(name: str | None, *, repair: bool) -> tuple[list[str], bool]:
    """Verify one registered model, or all of ours.

    Args:
        name: The registered model; None for all.
        repair: Repair what can be repaired.

    Returns:
        The report line by line, and whether nothing is wrong, or nothing any more.
    """
    with open_store() as store:
        names = [name] if name is not None else _our_models(store)
        rows: list[tuple[str, str, str, str]] = []
        counts: dict[str, int] = {}
        num_open = 0
        checked: list[Version] = []
        for model in names:
            registered = registry.versions(store, model)
            if name is not None and not registered and not _exists(store, model):
                raise TrackingError(f"registered_model={model}: there is no such registered model in this store.")
            for finding, repaired in _check_model(store, model, registered, repair=repair):
                rows.append((model, finding.subject, finding.found, repaired or finding.advice))
                num_open += repaired is None
            echo(f"{model}: {len(registered)} version{'s' * (len(registered) != 1)} checked")
            counts[model] = len(registered)
            checked += registered
        for finding in audit_experiments(store, checked):
            rows.append(("-", finding.subject, finding.found, finding.advice))
            num_open += 1
        columns = ("model", "about", "found", "repaired" if repair and not num_open else "to_do")
        report_facts(
            versions=counts,
            findings=[dict(zip(columns, row, strict=True)) for row in rows],
            open=num_open,
        )
        if not rows:
            return ["every version matches its record" if names else "nothing is registered in this store"], True
        last_column = "repaired" if repair and not num_open else "what to do"
        table = table_lines(("model", "about", "found", last_column), rows)
        return [*table, f"{len(rows)} found, {len(rows) - num_open} repaired"], not num_open


def _check_model(
    store: Store, name: str, registered: list[Version], *, repair: bool
) -> list[tuple[Finding, str | None]]:
    """Return findings, each with how it was repaired; None if it was not."""
    ours = [version for version in registered if version.tags]
    if len(ours) < len(registered):
        echo(f"{name}: {len(registered) - len(ours)} of its versions were not made by sbert-prune, and are left alone")
    results: list[tuple[Finding, str | None]] = []
    for version in ours:
        for finding in audit_version(store, version):
            results.append((finding, _repair(store, version, finding) if repair else None))
    if repair and (linked := sum(registry.link(store, version) for version in ours)):
        echo(f"{name}: {linked} of its models are shown as registered in MLflow's pages now")
    results += [(finding, None) for finding in audit_references(ours)]
    if not registered:
        return results
    stages = audit_stages(store, name, [version.version for version in registered])
    if not repair:
        return results + [(finding, None) for finding in stages]
    _repair_stages(store, name, stages)
    return results + [(finding, _how_repaired(finding.repair)) for finding in stages]


def _repair_stages(store: Store, name: str, findings: list[Finding]) -> None:
    repairs = [finding.repair for finding in findings if finding.repair is not None]
    if any(repair.writes_off for repair in repairs):
        promotion.note_loss(store, name)
    listing = list_all(store, name)
    promotion.note_found(store, listing, sorted({repair.notes for repair in repairs if repair.notes is not None}))
    for finding in findings:
        if finding.repair is not None and finding.repair.rolls_back:
            promotion.roll_back(store, listing, finding.found)
    if any(repair.reconciles for repair in repairs):
        reconcile(store, listing)


def _how_repaired(repair: Repair | None) -> str | None:
    if repair is None:
        return None
    if repair.writes_off or repair.notes:
        return "repaired: recorded in the history"
    return "repaired: reconciled with the history"


def _repair(store: Store, version: Version, finding: Finding) -> str | None:
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
    return "repaired"


def _our_models(store: Store) -> list[str]:
    """Return the registered models with a version that has our tags."""
    with store_errors("The registered models cannot be listed"):
        models = pages(lambda token: store.client.search_registered_models(page_token=token))
        return [model.name for model in models if any(version.tags for version in registry.versions(store, model.name))]


def _exists(store: Store, name: str) -> bool:
    try:
        store.client.get_registered_model(name)
    except FAULTS:
        return False
    return True
