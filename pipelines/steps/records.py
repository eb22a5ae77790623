"""What steps log: lineage as tags, rows as dataset inputs, and finite metrics alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.steps.reuse import OUTPUT, result_folder
from sbert_prune.errors import RoundTripError
from sbert_prune.evaluation.efficiency.size import measure_size
from sbert_prune.inputs.texts import data_record
from sbert_prune.metrics import without_intervals
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sentence import save_sentence_model
from sbert_prune.registry.version import caption, figures
from sbert_prune.tracking.logged_models import LOGGED, log_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.data.rows import NliRow, RowSet, StsRow
    from sbert_prune.models.lineage import Lineage
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run
    from sbert_prune.variant import Variant


def lineage_tags(lineage: Lineage) -> dict[str, str]:
    """Return the tags that repeat a lineage, so that it can be searched for and outlives the run."""
    data = {f"{record.phase}_digest": record.data.digest[:16] for record in lineage.phases}
    runs = {f"{record.phase}_run_id": record.run_id for record in lineage.phases if record.run_id}
    trim = lineage.trim
    vocabulary = (
        {"vocabulary": f"{trim.pieces} of {trim.pieces_before}", "vocabulary_digest": trim.digest[:16]} if trim else {}
    )
    return {
        "base": lineage.base.id,
        "base_revision": lineage.base.revision or "none",
        "base_sha256": lineage.base.sha256,
        "kept_layers": str(lineage.selection),
        "depth": str(lineage.base.depth),
        "num_layers": str(lineage.selection.num_layers),
        "strategy": lineage.strategy,
        "pooling": lineage.pooling or "none",
        "code_version": lineage.code_version,
        **vocabulary,
        **data,
        **runs,
    }


def logged_id(source: SavedModel) -> str | None:
    """Return the id of a logged model ("m-..."), or None if the URI does not name one."""
    match = LOGGED.fullmatch(source.uri)
    return match[1] if match else None


def log_rows(run: Run, rows: RowSet[NliRow] | RowSet[StsRow], context: str) -> None:
    """Log a split as a dataset input, and list the rows that were left out of it."""
    run.log_data(data_record(rows), context)
    log_skipped(run, rows.name, rows.skipped)


def log_skipped(run: Run, name: str, skipped: tuple[str, ...]) -> None:
    """List the rows that were left out of a split in an artifact, one a line."""
    if skipped:
        run.log_text("\n".join(skipped), f"skipped_rows/{name}.txt")


def refuse_non_finite(metrics: Mapping[str, float]) -> None:
    """Raise RoundTripError for a NaN or an infinity: MLflow accepts NaN, and sorts infinity first."""
    if not_finite := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise RoundTripError(
            f"{', '.join(not_finite)} is not a finite number, so the model is not evaluated. "
            "Evaluate on more pairs, or train again."
        )


_SHOWN = ("base", "kept_layers", "depth", "num_layers", "strategy", "vocabulary", "seed", "role")


def publish(run: Run, version: Version, inputs: Inputs) -> None:
    """Repeat on the parent run the layers, data, model and metrics of a version."""
    run.set_tags({key: version.tags[key] for key in _SHOWN if key in version.tags} | {"model": version.uri})
    run.log_params({"kept_layers": version.tags["kept_layers"]})
    for use, rows in inputs.splits.items():
        run.log_data(data_record(rows), "training" if use.endswith("train") else "testing")
    run.log_output(version.tags["model_id"])
    run.log_metrics(without_intervals(version.metrics))
    run.describe(f"{version.uri}, {caption(version)}")


def save(context: Context, recipe: Recipe, run: Run, variant: Variant, *, key: str) -> SavedModel:
    """Save a step's result. A command of one step logs it to MLflow; a longer one passes the folder to its next step.

    Args:
        context: The command's context.
        recipe: Names the registered model.
        run: The run of the step.
        variant: The model to save, with its lineage, which is logged as `pruning.json`.
        key: Identifies the step, so that its result is found again.
    """
    folder, model, lineage = result_folder(context, key, run.run_id), variant.model, variant.lineage
    save_sentence_model(model, folder, lineage)
    context.unfinished.finish(key, run.run_id)
    saved = SavedModel(str(folder), None, inspect_checkpoint(folder))
    run.log_text(lineage.model_dump_json(indent=2), "pruning.json")
    sizes = size_metrics(model, saved)
    run.log_metrics(sizes)
    trained = "".join(f", {record.phase}" for record in lineage.phases)
    kept = f"layers {lineage.selection} of {lineage.base.depth} ({lineage.strategy})"
    run.describe(f"{kept}{trained}: {figures(sizes)}")
    if context.parent is not None and not context.keep_intermediate:
        return saved
    model_id = log_model(run, recipe.registered_model, model, folder, lineage_tags(lineage))
    run.set_tags({OUTPUT: f"models:/{model_id}"})
    return saved if context.parent is not None else SavedModel(f"models:/{model_id}", None, saved.checkpoint)


def size_metrics(model: SentenceTransformer, source: SavedModel) -> dict[str, float]:
    """Return the parameter counts and bytes of a saved model as metrics."""
    return measure_size(model, source.checkpoint).metrics()
