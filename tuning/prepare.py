"""What a search measures once and stores in its study: latencies, named selections, screening, zero-layer baseline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pipelines.console import echo
from pipelines.inputs.base import find_model
from sbert_prune.errors import EncoderError, SbertPruneError, TrainingError
from sbert_prune.layer_analysis.importance import IMPORTANCE
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import PROBES, as_sentence_model, embed, encoder_of
from sbert_prune.recipe.settings import LABELLED
from sbert_prune.system.memory import is_out_of_memory
from sbert_prune.training.embedding import DevPairs
from sbert_prune.training.phases import PHASES, PhaseTrainer
from sbert_prune.training.setup import TrainerSetup
from tuning.constraints import latencies_ms
from tuning.proposals import named_selections
from tuning.screening import Screened, score_shared, screen, selections_to_screen, train_shared

if TYPE_CHECKING:
    from optuna import Study
    from sentence_transformers import SentenceTransformer

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from tuning.context import SearchContext
    from tuning.settings import Aim, Screening
    from tuning.space import Space


def zero_layer_score(context: Context, recipe: Recipe, inputs: Inputs) -> float | None:
    """Return the dev Spearman of mean-pooled word embeddings, trained by the phases that have labels.

    None where an architecture cannot do without layers, or where the training diverges.

    Raises:
        TrainingError: The training ran out of memory.
    """
    texts = inputs.texts
    model = as_sentence_model(inputs.pruning.base, recipe)
    if not _remove_layers(model):
        return None
    setup = TrainerSetup(context.hardware, recipe.seed, lambda _: None, notice=lambda _: None)
    trainer = PhaseTrainer(model, setup, dev=texts.sts.dev.rows)
    try:
        for phase in (phase for phase in recipe.phases if phase in LABELLED):
            rows = PHASES[phase].rows(texts)
            assert rows is not None  # loaded with the other inputs
            trainer.train(phase, rows.rows, recipe.settings_of(phase).model_copy(update=_PLAIN))
    except TrainingError as error:
        if is_out_of_memory(error):
            raise
        return None  # a baseline that diverges must not cost the search its answer
    return DevPairs.of(model, texts.sts.dev.rows).score(model, context.hardware)


def _remove_layers(model: SentenceTransformer) -> bool:
    """Remove all layers; return whether the model still embeds sentences."""
    try:
        layers = layers_of(encoder_of(model))
        del layers[:]
        embed(model, PROBES[:1])
    # What code raises that expects a layer. DeBERTa reads a variable that its loop over the layers sets (NameError).
    except (EncoderError, AttributeError, LookupError, NameError, TypeError, ValueError):
        return False
    return True


_PLAIN = {"distillation": 0.0, "adaptive_layers": False, "pooling": "mean"}

# The keys under which the study stores the results.
_LATENCIES, _NAMED, _SCREENED, _ZERO_LAYERS = "latencies", "named", "screened", "floor"


def latencies(recipe: Recipe, inputs: Inputs, *, study: Study, aim: Aim, space: Space) -> dict[int, float]:
    """Return the latency of one sentence in ms, by the count of layers; empty where the aim does not use it."""
    if not aim.needs_latency:
        return {}
    stored = study.user_attrs.get(_LATENCIES)
    if stored is None:
        measured = latencies_ms(inputs.pruning.base, recipe, space.counts, inputs.texts.dev())
        stored = {str(count): value for count, value in measured.items()}
        study.set_user_attr(_LATENCIES, stored)
        echo(f"latency   {', '.join(f'{count} layers {value:.1f} ms' for count, value in measured.items())}")
    return {int(count): float(value) for count, value in stored.items()}


def named(search: SearchContext) -> dict[str, LayerSelection]:
    """Return what every strategy keeps, by its name."""
    stored: dict[str, list[int]] | None = search.study.user_attrs.get(_NAMED)
    if stored is None:
        measured = {} if search.space.fixed else _measured(search)
        selections = named_selections(search.space, measured)
        stored = {name: list(selection.kept) for name, selection in selections.items()}
        search.study.set_user_attr(_NAMED, stored)
    return {name: LayerSelection(tuple(layers), search.space.depth) for name, layers in stored.items()}


def _measured(search: SearchContext) -> dict[str, LayerSelection]:
    """Return the selections of the strategies that measure the base's layers."""
    model = as_sentence_model(search.inputs.pruning.base, search.recipe)
    space, calibration = search.space, search.inputs.texts.calibration()
    count = space.counts[len(space.counts) // 2]
    selections: dict[str, LayerSelection] = {}
    for name, measure in IMPORTANCE.items():
        try:
            kept = measure(model, calibration).keep(count, first_stays=space.first_stays)
            selections[name] = LayerSelection(kept, space.depth)
        except SbertPruneError as error:
            echo(f"strategy {name} is left out: {error}")
    return selections


def screened(search: SearchContext, reference: Version, method: Screening) -> Screened | None:
    """Return the screening, stored or made now; None where none is requested or there is nothing to choose."""
    if method == "none" or search.space.num_selections < 3:
        return None
    stored: dict[str, Any] = search.study.user_attrs.get(_SCREENED) or {}
    scores = _restored(stored, search.space.depth) if stored else _screen(search, reference)
    if method == "shared" and "shared" not in scores.measures:
        started = time.perf_counter()
        model = train_shared(search.context, search.recipe, search.inputs, search.space)
        training_seconds = time.perf_counter() - started
        scores = score_shared(model, scores, search.inputs.texts.sts.dev.rows, search.context.hardware)
        scores = Screened(scores.selections, scores.measures, scores.seconds, training_seconds)
        best = scores.ranked()[0]
        echo(f"shared    weights trained in {training_seconds:.0f} s; best by them: layers {best}")
        _store(search.study, scores)
    return scores


def _screen(search: SearchContext, reference: Version) -> Screened:
    selections = selections_to_screen(search.space, named(search).values(), search.recipe.seed)
    scores = screen(
        search.inputs.pruning.base,
        find_model(reference.uri),
        search.recipe,
        selections=selections,
        dev=search.inputs.texts.sts.dev.rows,
        hardware=search.context.hardware,
    )
    echo(f"screened  {len(selections):,} selections in {scores.seconds:.0f} s ({scores.per_minute:,.0f} a minute)")
    _store(search.study, scores)
    return scores


def _store(study: Study, scores: Screened) -> None:
    stored = {
        "selections": [list(selection.kept) for selection in scores.selections],
        "seconds": scores.seconds,
        "training": scores.training_seconds,
        "measures": {name: list(values) for name, values in scores.measures.items()},
    }
    study.set_user_attr(_SCREENED, stored)


def _restored(stored: dict[str, Any], depth: int) -> Screened:
    selections = tuple(LayerSelection(tuple(layers), depth) for layers in stored["selections"])
    measures = {name: tuple(values) for name, values in stored["measures"].items()}
    return Screened(selections, measures, stored["seconds"], stored["training"])


def zero_layer_baseline(search: SearchContext) -> float | None:
    """Return the dev score of the word embeddings alone; None where the architecture cannot do without layers."""
    if _ZERO_LAYERS not in search.study.user_attrs:
        search.study.set_user_attr(_ZERO_LAYERS, zero_layer_score(search.context, search.recipe, search.inputs))
    score: float | None = search.study.user_attrs[_ZERO_LAYERS]
    return score
