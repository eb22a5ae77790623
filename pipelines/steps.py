"""The steps behind healing: each opens a run, calls the library, logs, and returns what was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.records import lineage_tags, log_rows, logged_id, refuse_non_finite
from pipelines.saving import as_sentence_model, size_metrics
from sbert_prune import registry
from sbert_prune.evaluation.efficiency import measure_speed
from sbert_prune.evaluation.sts import evaluate_sts
from sbert_prune.lineage import FILE_NAME, Lineage
from sbert_prune.models import fetch_model, log_model
from sbert_prune.saved_model import SavedModel, lineage_of
from sbert_prune.sentence import PROBES, embed, fresh_process_difference, load_saved, save_sentence_model

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from pipelines.context import Context
    from sbert_prune.rows import RowSet, StsRow


def evaluate(
    context: Context,
    source: SavedModel,
    splits: Mapping[str, RowSet[StsRow]],
    *,
    base: SavedModel | None,
    reference_score: float | None = None,
) -> dict[str, float]:
    """Judge a saved model: STS on the given splits, size, and speed beside its base. Returns the metrics by their names in MLflow."""
    with context.step("evaluate", lineage_tags(lineage_of(source)), reads=("sts.data", "sts.score_range", "on_bad_rows")) as run:
        model = as_sentence_model(source, context.recipe)
        metrics: dict[str, float] = {}
        for split, rows in splits.items():
            log_rows(run, rows, "testing")
            score = evaluate_sts(model, rows.rows, f"{split} ({rows.name})")
            metrics |= {
                f"sts_{split}/spearman_cosine": score.spearman.value,
                f"sts_{split}/spearman_cosine_low": score.spearman.low,
                f"sts_{split}/spearman_cosine_high": score.spearman.high,
                f"sts_{split}/pearson_cosine": score.pearson,
            }
        if reference_score is not None and reference_score > 0 and "test" in splits:
            metrics["quality/retention"] = metrics["sts_test/spearman_cosine"] / reference_score
        texts = [row.sentence1 for row in next(iter(splits.values())).rows]
        against = load_saved(base.checkpoint) if base else model
        against.max_seq_length = model.max_seq_length  # the same pieces for both
        speed = asdict(measure_speed(model, against, texts))
        if base is None:
            del speed["speedup"]  # nothing to compare with
        metrics |= size_metrics(model, source) | {f"speed/{key}": value for key, value in speed.items()}
        refuse_non_finite(metrics)
        run.log_metrics(metrics, model_id=logged_id(source))
    return metrics


def sts_score(context: Context, model: SavedModel, rows: RowSet[StsRow]) -> float:
    """Spearman of another model on the same pairs, to measure retention against."""
    return evaluate_sts(as_sentence_model(model, context.recipe), rows.rows, f"the reference on {rows.name}").spearman.value


def logged_metrics(context: Context, source: SavedModel) -> dict[str, float]:
    """The metrics that were logged for a logged model; none for a folder."""
    model_id = logged_id(source)
    found = context.store.client.get_logged_model(model_id).metrics if model_id else None
    return {metric.key: metric.value for metric in found or []}


def register(context: Context, source: SavedModel, metrics: Mapping[str, float], tags: Mapping[str, str]) -> registry.Version:
    """Log the model, prove in a fresh process that it comes back as it was, and make it a version with its lineage.

    Raises RoundTripError, and registers nothing, when it does not.
    """
    name = context.recipe.registered_model
    lineage = lineage_of(source)
    described = lineage_tags(lineage)
    with context.step("register", described, reads=("registered_model",)) as run:
        model = as_sentence_model(source, context.recipe)
        given = logged_id(source)
        logged = given or log_model(run, name, model, _with_lineage(context, source, model, lineage), described)
        try:
            difference = fresh_process_difference(fetch_model(f"models:/{logged}"), embed(model, PROBES))
        except BaseException:
            if given is None:
                context.store.client.delete_logged_model(logged)  # ours, and of no use; what the user gave stays
            raise
        final = {**metrics, "roundtrip/max_abs_diff": difference}
        run.log_metrics(final, model_id=logged)
        extra = {
            "model_id": logged,
            "model_sha256": source.checkpoint.sha256(),
            "run_id": run.run_id,
            "parent_run_id": context.parent.run_id if context.parent else run.run_id,
        }
        refuse_non_finite(final)
        role = registry.VARIANT if lineage.selection.dropped or lineage.trim else registry.REFERENCE
        draft = registry.Version(name, "", run.run_id, "None", described | extra | {"role": role} | dict(tags), final)
        return registry.register(context.store, draft, logged)


def _with_lineage(context: Context, source: SavedModel, model: SentenceTransformer, lineage: Lineage) -> Path:
    """A stranger's folder has no `pruning.json`: what is registered has one."""
    if (source.folder / FILE_NAME).is_file():
        return source.folder
    folder = context.workspace / "given"
    save_sentence_model(model, folder, lineage)
    return folder
