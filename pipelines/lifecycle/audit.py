"""What is wrong with registered versions: bytes, lineage, metrics and runs that do not agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.steps.records import headlines, lineage_tags
from sbert_prune.errors import SbertPruneError
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.metrics import STS_DEV
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import read_lineage
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import PROBES, check_embeddings, embed, load_saved
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import (
    DEV_PAIRS_CHECKSUM,
    FILES_CHECKSUM,
    TAGS_CHECKSUM,
    digest_of_files,
    digest_of_text,
)
from sbert_prune.tracking.delivery import FAULTS
from sbert_prune.tracking.logged_models import fetch_files, fetch_model, has_bytes, read_file
from sbert_prune.tracking.store import TAG, read_artifact

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
"""What a version's own tags have to hold, so that it can do without its run."""

_ROUNDING = 1e-5  # tags hold six digits


@dataclass(frozen=True)
class Repair:
    """How a finding can be mended from what is still there. tags, metrics: to be put over a version's.  dev_pairs: to be put beside it.

    settles: whether stages and aliases are brought to the history.  rolls_back: whether a lost champion makes room for the one before.
    notes: a stage whose holder is taken into the history.  writes_off: whether entries of the history are noted as lost.
    """

    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    dev_pairs: str | None = None
    settles: bool = False
    rolls_back: bool = False
    notes: str | None = None
    writes_off: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. subject: "version 3", or what else it is about.  repair: None where nothing here can mend it."""

    subject: str
    found: str
    advice: str
    repair: Repair | None = None


def audit_version(store: Store, version: Version) -> list[Finding]:
    """All that is wrong with one version."""
    run = _run(store, version.run_id)
    found = [
        *_bytes(store, version, run),
        *_lineage(version, run),
        *_metrics(store, version, run),
        *_dev_pairs(store, version),
    ]
    return found + _seal(version, [finding.repair for finding in found if finding.repair is not None])


def audit_references(found: Sequence[Version]) -> list[Finding]:
    """Variants whose reference was deleted."""
    there = {version.tags.get("reference_key") for version in found if version.is_reference}
    lonely = [version for version in found if version.tags.get("reference_key") not in {None, *there}]
    advice = "the next mlflow run . -e full of that recipe trains it again"
    return [
        Finding(f"version {version.version}", "the reference that it was held against is not there any more", advice)
        for version in lonely
    ]


def _bytes(store: Store, version: Version, run: LoggedRun | None) -> Iterator[Finding]:
    """The model loads, and is the one that was registered."""
    again = "its bytes are lost: make it again with mlflow run . -e full -P force=true, then delete this version"
    subject = f"version {version.version}"
    if version.has_no_files and not has_bytes(store, version.tags.get("model_id", "")):
        return
    try:
        location = _location(store, version)
        source = SavedModel(version.uri, None, inspect_checkpoint(fetch_model(location)))
        if (mistold := _mistold(source, version, run)) is not None:
            yield mistold
        elif (found := _changed(source, version)) is not None:
            yield Finding(subject, found, again)
            return
        lineage = lineage_of(source)
        if read_lineage(source.folder) is None:
            yield Finding(
                subject,
                "its pruning.json is gone",
                "restore the file from a backup; its tags still tell what it was made from",
            )
        elif version.tags.get(FILES_CHECKSUM) not in (None, digest_of_files(fetch_files(location))):
            found = "its files are not those that were registered, though its weights and settings are: MLmodel, pruning.json or a new one"
            yield Finding(
                subject,
                found,
                "restore them from a backup, or make the model again: mlflow run . -e full -P force=true",
            )
        check_embeddings(embed(load_saved(source.checkpoint), PROBES), version.uri)
    except (SbertPruneError, OSError, RuntimeError, ValueError) as error:
        yield Finding(subject, f"does not load: {str(error).splitlines()[0]}", again)
        return
    if read_lineage(source.folder) is not None:
        yield from _disagreements(lineage_tags(lineage), version, run)


def _disagreements(file: Mapping[str, str], version: Version, run: LoggedRun | None) -> Iterator[Finding]:
    """Where `pruning.json` and the tags differ, the run tells who is right."""
    third = run.data.tags if run else {}
    for key, value in file.items():
        own = version.tags.get(key)
        if key in _OF_THE_RUN or own == value:
            continue
        found = f"its tag {key} says {own or 'nothing'}, its pruning.json {value}"
        subject = f"version {version.version}"
        if third.get(f"{TAG}{key}") == value:
            yield Finding(
                subject, found, "its run agrees with the file: repair=true corrects the tag", Repair(tags={key: value})
            )
        else:
            agrees = "its run agrees with the tag" if run else "no run is left to tell who is right"
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
    told = version.tags.get("fingerprint")
    if told is not None:
        is_now = source.checkpoint.fingerprint()
        return (
            None
            if is_now == told
            else f"its files have changed: fingerprint {is_now[:12]}, registered with {told[:12]}"
        )
    told, is_now = version.tags.get("model_sha256"), source.checkpoint.sha256()
    return (
        None
        if told in (None, is_now)
        else f"its weights have changed: SHA-256 {is_now[:12]}, registered with {told[:12]}"
    )


def _mistold(source: SavedModel, version: Version, run: LoggedRun | None) -> Finding | None:
    """A fingerprint that only the tag has: its run knows the files' own."""
    told, is_now = version.tags.get("fingerprint"), source.checkpoint.fingerprint()
    if told is None or told == is_now or run is None or run.data.tags.get(f"{TAG}fingerprint") != is_now:
        return None
    found = f"its tag fingerprint says {told[:12]}, its files have {is_now[:12]}"
    advice = "its run agrees with the files: repair=true corrects the tag"
    return Finding(f"version {version.version}", found, advice, Repair(tags={"fingerprint": is_now}))


def _seal(version: Version, repairs: Sequence[Repair]) -> list[Finding]:
    """What no other finding tells: whether the tags are those that were written, once all that can be mended is."""
    tags, metrics = dict(version.tags), dict(version.metrics)
    for repair in repairs:
        tags |= repair.tags
        metrics |= repair.metrics
    if version.tags.get(TAGS_CHECKSUM) in (None, registry.tags_checksum(replace(version, tags=tags, metrics=metrics))):
        return []
    advice = "set back what was changed, or make the model again: mlflow run . -e full -P force=true"
    return [Finding(f"version {version.version}", "its tags were changed by other means than these commands", advice)]


def _run(store: Store, run_id: str) -> LoggedRun | None:
    """None where it was deleted."""
    try:
        run = store.client.get_run(run_id)
    except FAULTS:
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _lineage(version: Version, run: LoggedRun | None) -> Iterator[Finding]:
    """The run is there, or the version tells the whole by itself."""
    missing = [key for key in _LINEAGE if key not in version.tags]
    if not missing:
        return
    told = run.data.tags if run else {}
    known = {key: told[TAG + key] for key in missing if TAG + key in told}
    where = "" if run else ", and its run was deleted"
    found = f"its tags lack {', '.join(missing)}{where}"
    yield Finding(f"version {version.version}", found, _from_run(known), Repair(tags=known) if known else None)


def _from_run(known: object) -> str:
    return "repair=true takes what its run says" if known else "nothing here knows it any more"


def _metrics(store: Store, version: Version, run: LoggedRun | None) -> Iterator[Finding]:
    """The tags say what was measured."""
    subject = f"version {version.version}"
    wrong = sorted(name for name, value in version.metrics.items() if not math.isfinite(value))
    if wrong:
        yield Finding(
            subject, f"{', '.join(wrong)} are no finite numbers", "judge again: mlflow run . -e evaluate, then register"
        )
    judged = _run(store, version.tags.get("evaluate_run_id", ""))
    own = {None, version.tags.get("fingerprint"), run.data.tags.get(f"{TAG}fingerprint") if run else None}
    if judged is not None and judged.data.tags.get(f"{TAG}fingerprint") not in own:
        found = f"its tag evaluate_run_id names run {judged.info.run_id}, which judged another model"
        yield Finding(subject, found, "judge again: mlflow run . -e evaluate, then register")
        judged = None
    told = [
        headlines(each.data.metrics) for each in (run, judged) if each is not None
    ]  # each measures memory for itself
    for name in sorted(set().union(*told)):
        values, says = [each[name] for each in told if name in each], version.metrics.get(name)
        if says is None or not any(math.isclose(says, value, rel_tol=_ROUNDING, abs_tol=1e-9) for value in values):
            found = f"its tag {name} says {says if says is not None else 'nothing'}, its run {values[-1]:.6g}"
            yield Finding(subject, found, "repair=true takes what its run says", Repair(metrics={name: values[-1]}))
    if not told and not version.metrics:
        yield Finding(
            subject, "has no metrics, and no run that has", "judge it: mlflow run . -e evaluate, then register"
        )


def _dev_pairs(store: Store, version: Version) -> Iterator[Finding]:
    """What it says of the dev pairs is beside it, and gives the score that it is registered with."""
    score, model_id = version.metrics.get(STS_DEV), version.tags.get("model_id", "")
    if score is None or "sts_dev_digest" not in version.tags:
        return
    subject = f"version {version.version}"
    content = read_file(store, model_id, FILE_NAME) if model_id else None
    pairs = DevPairs.parse(content) if content is not None else None
    if pairs is None:
        known = _kept(store, version)
        found = f"{FILE_NAME} beside it is {'gone' if content is None else 'damaged'}, so promote cannot compare it"
        yield Finding(subject, found, _from_run(known), Repair(dev_pairs=known) if known else None)
    elif pairs.digest != version.tags["sts_dev_digest"]:
        found = f"its {FILE_NAME} is about pairs {pairs.digest}, registered with {version.tags['sts_dev_digest']}"
        yield Finding(
            subject, found, _from_run(known := _kept(store, version)), Repair(dev_pairs=known) if known else None
        )
    elif version.tags.get(DEV_PAIRS_CHECKSUM) not in (None, digest_of_text(content or b"")):
        found = f"its {FILE_NAME} is not what was registered"
        yield Finding(
            subject, found, _from_run(known := _kept(store, version)), Repair(dev_pairs=known) if known else None
        )
    elif not math.isclose(pairs.value, score, abs_tol=1e-4):
        advice = "judge again: mlflow run . -e evaluate"
        yield Finding(subject, f"its tag {STS_DEV} says {score:.4f}, its dev pairs give {pairs.value:.4f}", advice)


def _kept(store: Store, version: Version) -> str | None:
    """What the run that judged keeps of the same pairs."""
    run_id = version.tags.get("evaluate_run_id", "")
    kept = read_artifact(store, run_id, FILE_NAME)
    pairs = DevPairs.parse(kept) if kept is not None else None
    return (
        kept.decode()
        if kept is not None and pairs is not None and pairs.digest == version.tags.get("sts_dev_digest")
        else None
    )
