"""What a step leaves: a sentence model with its lineage, in a folder or in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.steps.records import lineage_tags
from pipelines.steps.reuse import OUTPUT, result_folder
from sbert_prune.evaluation.efficiency.size import measure_size
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sentence import load_saved, save_sentence_model, with_pooling
from sbert_prune.tracking.logged_models import log_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pipelines.steps.context import Context
    from sbert_prune.models.lineage import Lineage
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run


def save(context: Context, run: Run, model: SentenceTransformer, lineage: Lineage, key: str) -> SavedModel:
    """Save a step's result; a command of one step logs it to MLflow, a longer one hands the folder on.

    key: the step's, by which its result is found again.
    """
    folder = result_folder(context, key, run.run_id)
    save_sentence_model(model, folder, lineage)
    context.unfinished.finish(key, run.run_id)
    saved = SavedModel(str(folder), None, inspect_checkpoint(folder))
    run.log_text(lineage.model_dump_json(indent=2), "pruning.json")
    run.log_metrics(size_metrics(model, saved))
    if context.parent is not None and not context.keep:
        return saved
    model_id = log_model(run, context.recipe.registered_model, model, folder, lineage_tags(lineage))
    run.set_tags({OUTPUT: f"models:/{model_id}"})
    return saved if context.parent is not None else SavedModel(f"models:/{model_id}", None, saved.checkpoint)


def size_metrics(model: SentenceTransformer, source: SavedModel) -> dict[str, float]:
    """Parameters and bytes of a saved model, by their names in MLflow."""
    return measure_size(model, source.checkpoint).metrics()


def as_sentence_model(source: SavedModel, recipe: Recipe) -> SentenceTransformer:
    """A sentence model keeps the pooling and length that it was saved with; a bare encoder takes the recipe's."""
    model = load_saved(source.checkpoint)
    return model if source.is_sentence_model else with_pooling(model, recipe.pooling, max_seq_length=recipe.max_seq_length)
