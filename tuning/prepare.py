"""What a search knows before its first trial, kept by the study: latencies, what strategies keep, the screening, the floor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.console import echo
from pipelines.inputs.base import find_model
from pipelines.steps.records import as_sentence_model
from sbert_prune.errors import SbertPruneError
from sbert_prune.layer_analysis.importance import IMPORTANCE
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training.embedding import DevPairs
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup
from tuning.constraints import latencies_ms
from tuning.proposals import named_selections
from tuning.screening import Screened, score_shared, screen, selections_to_screen, train_shared

if TYPE_CHECKING:
    from optuna import Study

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from tuning.settings import Aim, Screening
    from tuning.space import Space


def zero_layer_score(context: Context, recipe: Recipe, inputs: Inputs) -> float | None:
    """Dev Spearman of mean-pooled word embeddings, trained by the phases that have labels.

    None where an architecture cannot do without layers.
    """
    texts = inputs.texts
    try:
        model = as_sentence_model(inputs.pruning.base, recipe)
        layers = layers_of(encoder_of(model))
        del layers[:]
        healer = PhaseTrainer(
            model, TrainerSetup(context.hardware, recipe.seed, lambda _: None, notice=lambda _: None), dev=texts.sts.dev.rows
        )
        if "nli" in recipe.phases and texts.nli is not None:
            healer.train_nli(texts.nli.rows, recipe.nli.model_copy(update=_PLAIN))
        if "sts" in recipe.phases:
            healer.train_sts(texts.sts.train.rows, recipe.sts.model_copy(update=_PLAIN))
        return DevPairs.of(model, texts.sts.dev.rows).score(model, context.hardware)
    except (SbertPruneError, RuntimeError, TypeError, ValueError, LookupError, AttributeError):
        return None


_PLAIN = {"distillation": 0.0, "adaptive_layers": False, "pooling": "mean"}


_LATENCIES, _NAMED, _SCREENED, _FLOOR = "latencies", "named", "screened", "floor"


@dataclass(frozen=True)
class Search:
    """What is searched, and where it is kept."""

    context: Context
    recipe: Recipe
    inputs: Inputs
    study: Study
    aim: Aim


def latencies(search: Search, space: Space) -> dict[int, float]:
    """How long a sentence takes with each count of layers, in ms; empty where nobody asks for it."""
    if not search.aim.wants_latency:
        return {}
    kept = search.study.user_attrs.get(_LATENCIES)
    if kept is None:
        texts = search.inputs.texts.dev()
        measured = latencies_ms(search.inputs.pruning.base, search.recipe, space.counts, texts)
        kept = {str(count): value for count, value in measured.items()}
        search.study.set_user_attr(_LATENCIES, kept)
        echo(f"latency   {', '.join(f'{count} layers {value:.1f} ms' for count, value in measured.items())}")
    return {int(count): float(value) for count, value in kept.items()}


def named(search: Search, space: Space) -> dict[str, LayerSelection]:
    """What every strategy keeps, by its name; a measured one looks at the base's layers."""
    kept: dict[str, list[int]] | None = search.study.user_attrs.get(_NAMED)
    if kept is None:
        measured = {} if space.fixed else _measured(search, space)
        kept = {name: list(one.kept) for name, one in named_selections(space, measured).items()}
        search.study.set_user_attr(_NAMED, kept)
    return {name: LayerSelection(tuple(layers), space.depth) for name, layers in kept.items()}


def _measured(search: Search, space: Space) -> dict[str, LayerSelection]:
    model = as_sentence_model(search.inputs.pruning.base, search.recipe)
    calibration, count = search.inputs.texts.calibration(), space.counts[len(space.counts) // 2]
    found: dict[str, LayerSelection] = {}
    for name, measure in IMPORTANCE.items():
        try:
            found[name] = LayerSelection(measure(model, calibration).keep(count, first_stays=space.first_stays), space.depth)
        except SbertPruneError as error:
            echo(f"strategy {name} is left out: {error}")
    return found


def screened(search: Search, space: Space, reference: Version, how: Screening) -> Screened | None:
    """The screening, as the study keeps it, or made now; None where none is asked for, or there is nothing to choose."""
    if how == "none" or space.num_selections < 3:
        return None
    kept: dict[str, Any] = search.study.user_attrs.get(_SCREENED) or {}
    found = _restored(kept, space.depth) if kept else _screen(search, space, reference)
    if how == "shared" and "shared" not in found.measures:
        began = time.perf_counter()
        model = train_shared(search.context, search.recipe, search.inputs, space)
        trained = time.perf_counter() - began
        found = score_shared(model, found, search.inputs.texts.sts.dev.rows, search.context.hardware)
        found = Screened(found.selections, found.measures, found.seconds, trained)
        echo(f"shared    weights trained in {trained:.0f} s; best by them: layers {found.ranked()[0]}")
        _keep(search.study, found)
    return found


def _screen(search: Search, space: Space, reference: Version) -> Screened:
    selections = selections_to_screen(space, named(search, space).values(), search.recipe.seed)
    given = (selections, search.inputs.texts.sts.dev.rows, search.context.hardware)
    found = screen(search.inputs.pruning.base, find_model(reference.uri), search.recipe, given)
    echo(f"screened  {len(selections):,} selections in {found.seconds:.0f} s ({found.per_minute:,.0f} a minute)")
    _keep(search.study, found)
    return found


def _keep(study: Study, found: Screened) -> None:
    kept = {"selections": [list(one.kept) for one in found.selections], "seconds": found.seconds, "training": found.training_seconds}
    study.set_user_attr(_SCREENED, kept | {"measures": {name: list(values) for name, values in found.measures.items()}})


def _restored(kept: dict[str, Any], depth: int) -> Screened:
    selections = tuple(LayerSelection(tuple(layers), depth) for layers in kept["selections"])
    measures = {name: tuple(values) for name, values in kept["measures"].items()}
    return Screened(selections, measures, kept["seconds"], kept["training"])


def floor(search: Search) -> float | None:
    """The dev score of word embeddings alone."""
    if _FLOOR not in search.study.user_attrs:
        search.study.set_user_attr(_FLOOR, zero_layer_score(search.context, search.recipe, search.inputs))
    found: float | None = search.study.user_attrs[_FLOOR]
    return found
