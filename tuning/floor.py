"""The floor: what the word embeddings alone, without any layer, are worth after the same recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.saving import as_sentence_model
from sbert_prune.errors import SbertPruneError
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training.dev import DevPairs
from sbert_prune.training.phases import Healer
from sbert_prune.training.setup import Setup

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context


def floor_score(context: Context, inputs: Inputs) -> float | None:
    """Dev Spearman of mean-pooled word embeddings, trained by the phases that have labels.

    None where an architecture cannot do without layers.
    """
    recipe, texts = context.recipe, inputs.texts
    try:
        model = as_sentence_model(inputs.pruning.base, recipe)
        layers = layers_of(encoder_of(model))
        del layers[:]
        healer = Healer(model, Setup(context.hardware, recipe.seed, lambda _: None, notice=lambda _: None), dev=texts.sts.dev.rows)
        if "nli" in recipe.phases and texts.nli is not None:
            healer.train_nli(texts.nli.rows, recipe.nli.model_copy(update=_PLAIN))
        if "sts" in recipe.phases:
            healer.train_sts(texts.sts.train.rows, recipe.sts.model_copy(update=_PLAIN))
        return DevPairs.of(model, texts.sts.dev.rows).score(model, context.hardware)
    except (SbertPruneError, RuntimeError, TypeError, ValueError, LookupError, AttributeError):
        return None


_PLAIN = {"distillation": 0.0, "adaptive_layers": False, "pooling": "mean"}
