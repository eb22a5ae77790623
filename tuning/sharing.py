"""Shared weights: one network learns with another selection of layers each batch, as a step with a run and checkpoints of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pipelines.phase_log import phase_setup
from pipelines.saving import as_sentence_model
from pipelines.steps.keys import phase_key
from sbert_prune.training.phases import Healer
from sbert_prune.training.supernet import Subsets

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.settings import PhaseSettings
    from tuning.space import Space

_Settings = TypeVar("_Settings", bound="PhaseSettings")

EPOCHS = 0.5
"""A phase of shared weights lasts so many times as long as the recipe's: what selections are worth beside each other shows long before any
of them is trained.
"""


def of_shared(settings: _Settings, share: float) -> _Settings:
    """A phase's settings for shared weights. share: of its epochs."""
    plain = {"distillation": 0.0, "adaptive_layers": False, "matryoshka_dims": None, "pooling": None, "keep": "last"}
    return settings.model_copy(update=plain | {"epochs": settings.epochs * share, "evaluate_every": 1000.0})


def train_shared(context: Context, inputs: Inputs, space: Space) -> SentenceTransformer:
    """Train the whole base so that its selections can be scored without training; where it was killed, it goes on.

    The labels alone teach: who teaches a variant would have to be followed layer by layer.
    """
    recipe = context.recipe
    base, texts = inputs.pruning.base, inputs.texts
    subsets = Subsets(space.depth, space.counts, recipe.seed, space.first_stays)
    model = as_sentence_model(base, recipe)
    with context.step("share", {"base": base.uri}, reads=("nli.", "sts.", "seed")) as run:
        for phase in (phase for phase in recipe.phases if phase != "distil"):
            settings = of_shared(getattr(recipe, phase), EPOCHS)
            data = {"rows": texts.sts.train.digest if phase == "sts" else texts.nli.digest if texts.nli else ""}
            key = phase_key(context, phase, base, data | {"space": str(space), "settings": settings.model_dump_json()}, "shared")
            with phase_setup(context, run, phase, key) as setup:
                healer = Healer(model, setup, subsets=subsets)
                if phase == "sts":
                    healer.train_sts(texts.sts.train.rows, settings)
                else:
                    assert texts.nli is not None
                    healer.train_nli(texts.nli.rows, settings)
    return model
