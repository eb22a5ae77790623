"""The register step: a saved model becomes a version, after a fresh process has loaded it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipelines.console import echo
from pipelines.steps.keys import EXAM_TAGS
from pipelines.steps.records import lineage_tags, logged_id, refuse_non_finite
from sbert_prune.errors import TrackingError
from sbert_prune.evaluation.dev_pairs import FILE_NAME
from sbert_prune.evaluation.efficiency.timing import DISTURBED, MACHINE
from sbert_prune.metrics import headlines, without_intervals
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import FILE_NAME as LINEAGE
from sbert_prune.models.lineage import Lineage
from sbert_prune.models.roundtrip import reload_in_fresh_process
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import PROBES, as_sentence_model, embed, save_sentence_model
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import (
    DEV_PAIRS_CHECKSUM,
    FILES_CHECKSUM,
    REFERENCE,
    VARIANT,
    Version,
    caption,
    digest_of_files,
    digest_of_text,
)
from sbert_prune.tracking.logged_models import (
    add_file,
    deleting_on_error,
    fetch_files,
    fetch_model,
    has_bytes,
    log_model,
)
from sbert_prune.tracking.orphans import delete_unregistered
from sbert_prune.tracking.store import TAG, finished_runs, read_artifact

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from pipelines.steps.context import Context
    from pipelines.steps.evaluate import EarlierEvaluation
    from pipelines.steps.judgement_log import Verdict
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.store import Store

_PAIRS = EXAM_TAGS[:2]

GIVEN_FINGERPRINT = "given_fingerprint"
"""The tag of a version with the fingerprint of the model as it was given, where it was stored with other files."""


@dataclass(frozen=True)
class RecordedEvaluation:
    """What an `evaluate` run recorded about a model.

    Attributes:
        metrics: Those that versions are compared by.
        tags: The id of the run, and what it was made on.
        dev_pairs: The model's score of each dev pair, as text; None without dev pairs.
    """

    metrics: dict[str, float]
    tags: dict[str, str]
    dev_pairs: str | None

    @classmethod
    def of(cls, evaluation: Verdict | EarlierEvaluation, made_on: Mapping[str, str]) -> Self:
        """Return the record of an evaluation that was made on what these tags say."""
        tags = {**made_on, **evaluation.conditions, "evaluate_run_id": evaluation.run_id}
        return cls(evaluation.metrics, tags, evaluation.dev_pairs)


def find_evaluation(context: Context, source: SavedModel, like: Mapping[str, str]) -> RecordedEvaluation | None:
    """Return the newest evaluation of this model.

    Args:
        context: The command's context.
        source: The model.
        like: Tags of a version; an evaluation on other pairs than these name is skipped.
    """
    for run in finished_runs(context.store, "fingerprint", source.checkpoint.fingerprint()):
        tags = {key.removeprefix(TAG): value for key, value in run.data.tags.items()}
        made_on = {key: tags[key] for key in (*EXAM_TAGS, MACHINE, DISTURBED) if key in tags}
        if tags.get("step") == "evaluate" and _on_same_pairs(made_on, like):
            dev_pairs = read_artifact(context.store, tags.get("reused_from", run.info.run_id), FILE_NAME)
            return RecordedEvaluation(
                metrics=headlines(run.data.metrics),
                tags=made_on | {"evaluate_run_id": run.info.run_id},
                dev_pairs=dev_pairs.decode() if dev_pairs is not None else None,
            )
    return None


def _on_same_pairs(tags: Mapping[str, str], like: Mapping[str, str]) -> bool:
    """Return whether an evaluation with these tags was made on the pairs that a version's tags name."""
    return all(tags.get(key) == like[key] for key in _PAIRS if key in like)


def record_evaluation(store: Store, version: Version, evaluation: RecordedEvaluation) -> Version:
    """Set on a version the results of an evaluation, and what it was made on. Raises TrackingError.

    A trial of a search becomes a variant, once it is evaluated on test.
    """
    tags = dict(evaluation.tags)
    if version.is_trial and "sts_test_digest" in tags:
        tags["role"] = VARIANT
    if evaluation.dev_pairs is not None:
        add_file(store, version.tags["model_id"], FILE_NAME, evaluation.dev_pairs)
        tags[DEV_PAIRS_CHECKSUM] = digest_of_text(evaluation.dev_pairs)
    return registry.update(store, version, evaluation.metrics, tags)


def complete_versions(store: Store, source: SavedModel, evaluation: RecordedEvaluation) -> None:
    """Record an evaluation on the versions of a model that do not say what they were evaluated on; print which.

    One that says so stays as it is: `register` updates it. A registry that refuses is printed.
    """
    model_id = logged_id(source)
    if model_id is None:
        return
    try:
        for version in registry.versions_of(store, model_id):
            is_complete = evaluation.tags.keys() <= version.tags.keys()
            if version.tags and not is_complete and _on_same_pairs(evaluation.tags, version.tags):
                record_evaluation(store, version, evaluation)
                echo(f"version {version.version} of {version.name} has these results now")
    except TrackingError as error:
        echo(str(error))


def register_once(context: Context, recipe: Recipe, source: SavedModel, tags: Mapping[str, str]) -> Version:
    """Return the version of this model with the metrics of its newest evaluation; register the model if it has none.

    Args:
        context: The command's context.
        recipe: Names the registered model.
        source: The model.
        tags: Tags of a new version.
    """
    name, fingerprint = recipe.registered_model, source.checkpoint.fingerprint()
    version = None if context.force else _find_registered(context.store, name, fingerprint)
    if version is not None and not has_bytes(context.store, version.tags.get("model_id", "")):
        echo(f"version {version.version} of {name} is the same model, but its bytes are gone: a new version is made")
        version = None
    if version is None:
        evaluation = find_evaluation(context, source, {}) or RecordedEvaluation({}, {}, None)
        new_tags = {**tags, **evaluation.tags}
        return register(context, recipe, source, evaluation.metrics, new_tags, dev_pairs=evaluation.dev_pairs)
    same = f"version {version.version} of {name} is the same model"
    evaluation_now = find_evaluation(context, source, version.tags)
    if evaluation_now is None:
        echo(f"{same}, not evaluated on its pairs since (force=true makes a new version)")
        return version
    echo(f"{same}: its metrics are updated (force=true makes a new version)")
    return record_evaluation(context.store, version, evaluation_now)


def _find_registered(store: Store, name: str, fingerprint: str) -> Version | None:
    """Return the version of a model, as it was given or as it was stored."""
    tags = ("fingerprint", GIVEN_FINGERPRINT)
    return next((version for tag in tags if (version := registry.find_tagged(store, name, tag, fingerprint))), None)


def register(
    context: Context,
    recipe: Recipe,
    source: SavedModel,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    *,
    dev_pairs: str | None = None,
) -> Version:
    """Log the model, check in a fresh process that it loads with equal embeddings, and register it with its lineage.

    Args:
        context: The command's context.
        recipe: Names the registered model.
        source: The model; if it is logged already, it is not logged again.
        metrics: Metrics of the version.
        tags: Tags of the version, in addition to those of its lineage.
        dev_pairs: The model's score of each dev pair, as text; it is stored beside the model.

    Raises:
        RoundTripError: The model does not load, or its embeddings differ; nothing is registered.
    """
    name = recipe.registered_model
    lineage = lineage_of(source)
    model_tags = lineage_tags(lineage)
    fingerprint = source.checkpoint.fingerprint()
    with context.step(
        "register", model_tags | {"fingerprint": fingerprint}, recipe, reads=("registered_model",)
    ) as run:
        model = as_sentence_model(source, recipe)
        existing_id = logged_id(source)
        model_id = existing_id or log_model(
            run, name, model, _folder_with_lineage(context, source, model, lineage), model_tags
        )
        with nullcontext() if existing_id else deleting_on_error(lambda: delete_unregistered(context.store, model_id)):
            if dev_pairs is not None:
                add_file(context.store, model_id, FILE_NAME, dev_pairs)
            folder = fetch_model(f"models:/{model_id}")
            reloaded, stored = reload_in_fresh_process(folder, embed(model, PROBES)), inspect_checkpoint(folder)
            files = digest_of_files(fetch_files(f"models:/{model_id}"))
            final = {**metrics, **reloaded.metrics()}
            run.log_metrics(without_intervals(final), model_id=model_id)
            extra = {
                "model_id": model_id,
                "model_sha256": stored.sha256(),
                "fingerprint": stored.fingerprint(),
                **({GIVEN_FINGERPRINT: fingerprint} if stored.fingerprint() != fingerprint else {}),
                FILES_CHECKSUM: files,
                **({DEV_PAIRS_CHECKSUM: digest_of_text(dev_pairs)} if dev_pairs is not None else {}),
                "run_id": run.run_id,
                "parent_run_id": context.parent.run_id if context.parent else run.run_id,
            }
            refuse_non_finite(final)
            role = VARIANT if lineage.selection.dropped or lineage.trim else REFERENCE
            draft = Version(name, "", run.run_id, "None", model_tags | extra | {"role": role} | dict(tags), final)
            version = registry.register(context.store, draft, model_id)
            run.describe(f"{version.uri}, {caption(version)}; reloaded in a fresh process with equal embeddings")
            return version


def _folder_with_lineage(context: Context, source: SavedModel, model: SentenceTransformer, lineage: Lineage) -> Path:
    """Return a folder of the model with `pruning.json`, which a model from elsewhere lacks."""
    if (source.folder / LINEAGE).is_file():
        return source.folder
    folder = context.workspace / "given"
    save_sentence_model(model, folder, lineage)
    return folder
