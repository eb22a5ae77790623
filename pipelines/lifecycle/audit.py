"""Audit registered versions: files, lineage, metrics and runs that do not agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.steps.records import lineage_tags
from sbert_prune.errors import SbertPruneError
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.metrics import STS_DEV, headlines
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import read_lineage
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import PROBES, check_embeddings, embed, load_saved
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import (
    DEV_PAIRS_CHECKSUM,
    FILES_CHECKSUM,
    RECORD,
    TAGS_CHECKSUM,
    digest_of_files,
    digest_of_text,
)
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.delivery import FAULTS
from sbert_prune.tracking.logged_models import fetch_files, fetch_model, has_bytes, read_file
from sbert_prune.tracking.store import TAG, deleted_experiments, read_artifact

if TYPE_CHECKING:
    from mlflow.entities import Run as LoggedRun

    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

_LINEAGE = (
    "base",
    "base_sha256",
    "kept_layers",
    "depth",
    "num_layers",
    "strategy",
    "model_sha256",
    "fingerprint",
    "role",
)
"""The tags that a version must have, so that it does not depend on its run."""

_MAX_NAMED = 5
_ROUNDING = 1e-5  # tags hold six digits


@dataclass(frozen=True)
class Repair:
    """How a finding can be repaired.

    Attributes:
        tags: To be set on the version.
        metrics: To be set on the version.
        dev_pairs: The file to be stored with the model.
        reconciles: Whether to reconcile stages and aliases with the history.
        rolls_back: Whether to roll back from a deleted champion.
        notes: A stage whose current version is to be recorded in the history.
        writes_off: Whether to record entries of the history as lost.
    """

    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    dev_pairs: str | None = None
    reconciles: bool = False
    rolls_back: bool = False
    notes: str | None = None
    writes_off: bool = False


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        subject: What it is about, such as "version 3".
        found: What is wrong.
        advice: What to do.
        repair: How to repair it; None if that is not possible here.
    """

    subject: str
    found: str
    advice: str
    repair: Repair | None = None


def audit_version(store: Store, version: Version) -> list[Finding]:
    """Return everything that is wrong with one version."""
    run = _find_run(store, version.run_id)
    findings = [
        *_check_files(store, version, run),
        *_check_lineage(version, run),
        *_check_metrics(store, version, run),
        *_check_dev_pairs(store, version),
    ]
    return findings + _check_tags(version, [finding.repair for finding in findings if finding.repair is not None])


def audit_references(versions: Sequence[Version]) -> list[Finding]:
    """Return the variants whose reference was deleted."""
    keys = {version.tags.get("reference_key") for version in versions if version.is_reference}
    without = [version for version in versions if version.tags.get("reference_key") not in {None, *keys}]
    advice = f"the next {command_line('full')} of that recipe trains it again"
    return [Finding(f"version {version.version}", "its reference was deleted", advice) for version in without]


def audit_experiments(store: Store, versions: Sequence[Version]) -> list[Finding]:
    """Return the deleted experiments: the one that commands use now, and those with runs of versions."""
    problems = deleted_experiments(store)
    with_runs: dict[str, list[str]] = {store.experiment_id: []}
    for version in versions if problems else []:
        run = _find_any_run(store, version.run_id)
        if run is not None:
            with_runs.setdefault(str(run.info.experiment_id), []).append(version.uri)
    findings = []
    for experiment_id, uris in with_runs.items():
        if (problem := problems.get(experiment_id)) is not None:
            few = [*uris[:_MAX_NAMED], *(["..."] if len(uris) > _MAX_NAMED else [])]
            runs = f"; the runs of {', '.join(few)} were in it" if uris else ""
            findings.append(Finding("experiment", f"{problem.found}{runs}", problem.advice))
    return findings


def _check_files(store: Store, version: Version, run: LoggedRun | None) -> Iterator[Finding]:
    """Check that the model loads, and is the one that was registered."""
    again = f"its files are lost: make it again with {command_line('full', force='true')}, then delete this version"
    subject = f"version {version.version}"
    if version.has_no_files and not has_bytes(store, version.tags.get("model_id", "")):
        return
    try:
        location = _location(store, version)
        source = SavedModel(version.uri, None, inspect_checkpoint(fetch_model(location)))
        if (wrong_tag := _wrong_fingerprint(source, version, run)) is not None:
            yield wrong_tag
        elif (change := _changed(source, version)) is not None:
            yield Finding(subject, change, again)
            return
        lineage = lineage_of(source)
        if read_lineage(source.folder) is None:
            advice = "restore the file from a backup; its tags still record its lineage"
            yield Finding(subject, "its pruning.json is missing", advice)
        elif version.tags.get(FILES_CHECKSUM) not in (None, digest_of_files(fetch_files(location))):
            found = (
                "its files are not those that were registered, though its weights and settings are: MLmodel, "
                "pruning.json or a new file"
            )
            advice = f"restore them from a backup, or make the model again: {command_line('full', force='true')}"
            yield Finding(subject, found, advice)
        check_embeddings(embed(load_saved(source.checkpoint), PROBES), version.uri)
    except (SbertPruneError, OSError, RuntimeError, ValueError) as error:
        yield Finding(subject, f"does not load: {str(error).splitlines()[0]}", again)
        return
    if read_lineage(source.folder) is not None:
        yield from _disagreements(lineage_tags(lineage), version, run)


def _disagreements(lineage: Mapping[str, str], version: Version, run: LoggedRun | None) -> Iterator[Finding]:
    """Find tags that differ from `pruning.json`; the run decides which of them is right."""
    run_tags = run.data.tags if run else {}
    for key, value in lineage.items():
        tag = version.tags.get(key)
        if key in _OF_THE_RUN or tag == value:
            continue
        found = f"its tag {key} is {tag or 'missing'}, its pruning.json has {value}"
        subject = f"version {version.version}"
        if run_tags.get(f"{TAG}{key}") == value:
            advice = "its run agrees with the file: repair=true corrects the tag"
            yield Finding(subject, found, advice, Repair(tags={key: value}))
        else:
            agrees = "its run agrees with the tag" if run else "its run was deleted, so neither can be confirmed"
            yield Finding(subject, found, f"{agrees}: restore pruning.json from a backup, or make the model again")


_OF_THE_RUN = {"code_version"}


def _location(store: Store, version: Version) -> str:
    model_id = version.tags.get("model_id")
    if model_id is None:
        return version.uri
    try:
        store.client.get_logged_model(model_id)
    except FAULTS as error:
        raise ValueError(f"its logged model {model_id} is gone") from error
    return f"models:/{model_id}"


def _changed(source: SavedModel, version: Version) -> str | None:
    """Return how the model differs from the one that was registered; None if it does not."""
    registered = version.tags.get("fingerprint")
    if registered is not None:
        current = source.checkpoint.fingerprint()
        if current == registered:
            return None
        return f"its files have changed: fingerprint {current[:12]}, registered with {registered[:12]}"
    registered, current = version.tags.get("model_sha256"), source.checkpoint.sha256()
    if registered in (None, current):
        return None
    return f"its weights have changed: SHA-256 {current[:12]}, registered with {registered[:12]}"


def _wrong_fingerprint(source: SavedModel, version: Version, run: LoggedRun | None) -> Finding | None:
    """Find a tag with a wrong fingerprint: the run has the one of the files."""
    tag, current = version.tags.get("fingerprint"), source.checkpoint.fingerprint()
    if tag is None or tag == current or run is None or run.data.tags.get(f"{TAG}fingerprint") != current:
        return None
    found = f"its tag fingerprint is {tag[:12]}, its files have {current[:12]}"
    advice = "its run agrees with the files: repair=true corrects the tag"
    return Finding(f"version {version.version}", found, advice, Repair(tags={"fingerprint": current}))


def _check_tags(version: Version, repairs: Sequence[Repair]) -> list[Finding]:
    """Check that the tags would match their checksum after these repairs, which cover all other findings."""
    tags, metrics = dict(version.tags), dict(version.metrics)
    for repair in repairs:
        tags |= repair.tags
        metrics |= repair.metrics
    repaired = replace(version, tags=tags, metrics=metrics)
    if version.tags.get(TAGS_CHECKSUM) in (None, registry.tags_checksum(repaired)):
        return []
    advice = f"set back what was changed, or make the model again: {command_line('full', force='true')}"
    return [Finding(f"version {version.version}", "its tags were changed by other means than these commands", advice)]


def _find_run(store: Store, run_id: str) -> LoggedRun | None:
    """Return a run; None if it was deleted."""
    run = _find_any_run(store, run_id)
    return run if run is not None and run.info.lifecycle_stage == "active" else None


def _find_any_run(store: Store, run_id: str) -> LoggedRun | None:
    """Return a run that exists or can be restored."""
    try:
        return store.client.get_run(run_id)
    except FAULTS:
        return None


def _check_lineage(version: Version, run: LoggedRun | None) -> Iterator[Finding]:
    """Check that the version's tags record its lineage without its run."""
    if RECORD.removeprefix(TAG) in version.tags:
        advice = "restore the tag from a backup of the store"
        yield Finding(
            f"version {version.version}",
            f"its tag {RECORD} cannot be read, which is most of what is known of it",
            advice,
        )
    missing = [key for key in _LINEAGE if key not in version.tags]
    if not missing:
        return
    run_tags = run.data.tags if run else {}
    known = {key: run_tags[TAG + key] for key in missing if TAG + key in run_tags}
    where = "" if run else ", and its run was deleted"
    found = f"its tags lack {', '.join(missing)}{where}"
    yield Finding(f"version {version.version}", found, _from_run(known), Repair(tags=known) if known else None)


def _from_run(known: object) -> str:
    return "repair=true copies it from its run" if known else "it is not recorded anywhere else"


def _check_metrics(store: Store, version: Version, run: LoggedRun | None) -> Iterator[Finding]:
    """Check that the tags have the metrics of the runs."""
    subject = f"version {version.version}"
    not_finite = sorted(name for name, value in version.metrics.items() if not math.isfinite(value))
    if not_finite:
        advice = f"evaluate again: {command_line('evaluate')}, then register"
        yield Finding(subject, f"{', '.join(not_finite)} are not finite", advice)
    evaluation = _find_run(store, version.tags.get("evaluate_run_id", ""))
    run_fingerprint = run.data.tags.get(f"{TAG}fingerprint") if run else None
    fingerprints = {None, version.tags.get("fingerprint"), run_fingerprint}
    if evaluation is not None and evaluation.data.tags.get(f"{TAG}fingerprint") not in fingerprints:
        found = f"its tag evaluate_run_id names run {evaluation.info.run_id}, which evaluated another model"
        yield Finding(subject, found, f"evaluate again: {command_line('evaluate')}, then register")
        evaluation = None
    # Both runs measure memory, so either value is correct.
    measured = [headlines(entry.data.metrics) for entry in (run, evaluation) if entry is not None]
    for name in sorted(set().union(*measured)):
        values, tag = [metrics[name] for metrics in measured if name in metrics], version.metrics.get(name)
        if tag is None or not any(math.isclose(tag, value, rel_tol=_ROUNDING, abs_tol=1e-9) for value in values):
            found = f"its tag {name} is {tag if tag is not None else 'missing'}, its run has {values[-1]:.6g}"
            yield Finding(subject, found, "repair=true copies it from its run", Repair(metrics={name: values[-1]}))
    if not measured and not version.metrics:
        advice = f"evaluate it: {command_line('evaluate')}, then register"
        yield Finding(subject, "has no metrics, and no run with metrics", advice)


def _check_dev_pairs(store: Store, version: Version) -> Iterator[Finding]:
    """Check that the dev pairs are stored with the model, and give the score that it is registered with."""
    score, model_id = version.metrics.get(STS_DEV), version.tags.get("model_id", "")
    if score is None or "sts_dev_digest" not in version.tags:
        return
    content = read_file(store, model_id, FILE_NAME) if model_id else None
    pairs = DevPairs.parse(content) if content is not None else None
    subject = f"version {version.version}"
    if pairs is None:
        state = "missing" if content is None else "damaged"
        found = f"its {FILE_NAME} is {state}, so promote cannot compare it"
    elif pairs.digest != version.tags["sts_dev_digest"]:
        found = f"its {FILE_NAME} is about pairs {pairs.digest}, registered with {version.tags['sts_dev_digest']}"
    elif version.tags.get(DEV_PAIRS_CHECKSUM) not in (None, digest_of_text(content or b"")):
        found = f"its {FILE_NAME} is not what was registered"
    else:
        if not math.isclose(pairs.value, score, abs_tol=1e-4):
            found = f"its tag {STS_DEV} is {score:.4f}, its dev pairs give {pairs.value:.4f}"
            yield Finding(subject, found, f"evaluate again: {command_line('evaluate')}")
        return
    known = _dev_pairs_of_run(store, version)
    yield Finding(subject, found, _from_run(known), Repair(dev_pairs=known) if known else None)


def _dev_pairs_of_run(store: Store, version: Version) -> str | None:
    """Return the file of dev pairs from the version's evaluation run; None if it is missing or about other pairs."""
    content = read_artifact(store, version.tags.get("evaluate_run_id", ""), FILE_NAME)
    pairs = DevPairs.parse(content) if content is not None else None
    if content is None or pairs is None or pairs.digest != version.tags.get("sts_dev_digest"):
        return None
    return content.decode()
