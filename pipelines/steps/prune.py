"""The prune step: drop layers, trim the vocabulary if the recipe says so, and save a sentence model."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.inputs.texts import open_corpus
from pipelines.steps.keys import prune_key
from pipelines.steps.records import lineage_tags, refuse_non_finite, save
from pipelines.steps.reuse import find_finished_step, record_reuse
from sbert_prune.errors import EncoderError
from sbert_prune.layer_analysis.importance import IMPORTANCE
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layer_analysis.similarity import layer_similarity
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import architecture_of
from sbert_prune.models.lineage import Lineage, TrimRecord
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import PROBES, check_embeddings, embed, load_saved, with_pooling
from sbert_prune.pruning import prune_checkpoint
from sbert_prune.recipe.recipe import DEFAULT_POOLING
from sbert_prune.report.charts import similarity_map
from sbert_prune.strategies import choose_layers
from sbert_prune.vocabulary.trim import share_unchanged, trim_vocabulary

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pipelines.inputs.base import PruneInputs
    from pipelines.steps.context import Context
    from sbert_prune.models.checkpoint import Checkpoint
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run
    from sbert_prune.vocabulary.trim import TrimReport

_MUCH_LESS = 0.9
"""A share of unchanged dev sentences below this part of the expected one brings a warning."""

_READS = ("base_model", "layers", "strategy", "schedule", "vocabulary", "pooling", "max_seq_length", "convert_pickle")


def prune(
    context: Context, recipe: Recipe, source: SavedModel, layers: str, inputs: PruneInputs, *, trims: bool = True
) -> SavedModel:
    """Prune a model to the layers to keep, and trim its vocabulary to the recipe's limit.

    Args:
        context: The command's context.
        recipe: Sets strategy, pooling and vocabulary limit.
        source: The model to prune; it stays as it is.
        layers: A count or a list of layers.
        inputs: The base, the strategy, and the texts that a measured strategy needs.
        trims: False leaves the vocabulary as it is: the first cut of a schedule has trimmed it.
    """
    origin = lineage_of(source)
    key = prune_key(recipe, source, layers, inputs, trims=trims)
    if (finished := find_finished_step(context, key)) is not None:
        return record_reuse(context, recipe, "prune", finished)
    with context.step("prune", lineage_tags(origin) | {"step_key": key}, recipe, reads=_READS) as run:
        depth = source.checkpoint.depth
        selection = choose_layers(layers, strategy=recipe.strategy, depth=depth)
        if selection is None:  # a measured strategy
            selection = _choose_by_importance(context, recipe, run, source, inputs, num_layers=int(layers))
        lineage = origin.after_cut(selection, strategy=inputs.strategy, run_id=run.run_id)
        model = _load_pruned(context, recipe, source, selection, origin)
        _check_pruned(model, source)
        lineage = lineage.pooled(recipe.pooling or source.pooling or DEFAULT_POOLING)
        if trims and recipe.vocabulary_limit.trims:
            model, lineage = _trim(recipe, run, model, lineage, inputs)
        run.set_tags(lineage_tags(lineage))
        return save(context, recipe, run, model, lineage, key=key)


def _choose_by_importance(
    context: Context, recipe: Recipe, run: Run, source: SavedModel, inputs: PruneInputs, *, num_layers: int
) -> LayerSelection:
    """Score the layers, keep the most important ones, and log scores and picture, on the parent run as well."""
    assert inputs.texts is not None  # loaded with the inputs for a measured strategy
    depth = source.checkpoint.depth
    model = _load(recipe, source.checkpoint)
    calibration = inputs.texts.calibration()
    importance = IMPORTANCE[inputs.strategy](model, calibration)
    first_stays = bool(architecture_of(str(source.checkpoint.config["model_type"])).first_lacks)
    selection = LayerSelection(importance.keep(num_layers, first_stays=first_stays), depth)
    scores = enumerate(importance.layer_scores())
    run.log_series([(index, {"importance/score": score}) for index, score in scores if score is not None])
    similarity = layer_similarity(profile_layers(model, calibration.sentences))
    picture = similarity_map(similarity, selection, title=f"{inputs.strategy} keeps {selection} of {depth} layers")
    result = importance.as_dict() | {"kept_layers": list(selection.kept)}
    for logged_to in filter(None, (run, context.parent)):
        logged_to.log_json(result, f"importance/{inputs.strategy}_{depth}_layers.json")
        logged_to.log_figure(picture, f"importance/similarity_{depth}_layers.png")
    echo(f"strategy {inputs.strategy} keeps {selection} of {depth} layers")
    return selection


def _load_pruned(
    context: Context, recipe: Recipe, source: SavedModel, selection: LayerSelection, origin: Lineage
) -> SentenceTransformer:
    """Prune the checkpoint on disk, then load it: dropped layers never take memory."""
    if not selection.dropped:
        return _load(recipe, source.checkpoint)
    folder = context.workspace / "cut"
    try:
        return _load(recipe, prune_checkpoint(source.folder, selection, folder, lineage=origin))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load(recipe: Recipe, checkpoint: Checkpoint) -> SentenceTransformer:
    return with_pooling(load_saved(checkpoint), recipe.pooling, max_seq_length=recipe.max_seq_length)


def _check_pruned(model: SentenceTransformer, source: SavedModel) -> None:
    """Raise EncoderError for a damaged base, or modules that do not fit each other, before hours of training."""
    try:
        vectors = embed(model, PROBES)
    except RuntimeError as error:
        raise EncoderError(
            f"{source.uri} cannot embed a sentence with this pooling: {error}. Leave pooling out to keep its own."
        ) from error
    check_embeddings(vectors, f"{source.uri}, pruned,", advice="Its weights are damaged: fetch it again.")


def _trim(
    recipe: Recipe, run: Run, model: SentenceTransformer, lineage: Lineage, inputs: PruneInputs
) -> tuple[SentenceTransformer, Lineage]:
    """Trim the vocabulary to the recipe's limit, and log the effect on size and held-out text."""
    limit, corpus = recipe.vocabulary_limit, open_corpus(recipe.vocabulary_corpus, inputs.texts)
    trimmed, report = trim_vocabulary(model, corpus, limit)
    values = asdict(report) | {"bytes_before": report.bytes_before, "bytes_after": report.bytes_after}
    metrics = {f"vocabulary/{key}": float(value) for key, value in values.items() if not isinstance(value, str)}
    refuse_non_finite(metrics)
    run.log_metrics(metrics)
    run.log_json(values, "vocabulary.json")
    data = corpus.record()
    run.log_data(data, "vocabulary")
    echo(*_trim_lines(report))
    if inputs.texts is not None:
        _measure_on_dev(run, model, trimmed, inputs.texts.dev(), expected=report.covered_sentences)
    record = TrimRecord(
        pieces=report.pieces_after,
        pieces_before=report.pieces_before,
        digest=report.digest,
        limit=str(limit),
        corpus=data,
        run_id=run.run_id,
    )
    return trimmed, lineage.after(record)


def _trim_lines(report: TrimReport) -> list[str]:
    parameters = f"{report.parameters_after / 1e6:.2f} of {report.parameters_before / 1e6:.2f} M parameters"
    size = f"{report.bytes_after / 1e6:.1f} of {report.bytes_before / 1e6:.1f} MB"
    per_word = f"{report.pieces_per_word_after:.2f} pieces a word (before: {report.pieces_per_word_before:.2f})"
    unknown = f"unknown {report.unknown_rate_after:.2%} ({report.unknown_rate_before:.2%})"
    return [
        f"vocabulary: {report.pieces_after:,} of {report.pieces_before:,} pieces kept; {parameters}, {size}",
        f"vocabulary: on {report.measured_on} {report.coverage:.2%} of the pieces survive, {per_word}, {unknown}; "
        f"{report.covered_sentences:.1%} of the sentences are cut as before",
    ]


def _measure_on_dev(
    run: Run, model: SentenceTransformer, trimmed: SentenceTransformer, dev: list[str], *, expected: float
) -> None:
    """Log the share of dev sentences that are tokenized as before: the task's text may differ from the corpus.

    Args:
        run: The run of the step.
        model: The model before trimming.
        trimmed: The model after trimming.
        dev: The dev sentences.
        expected: The share for held-out text of the corpus, 0 to 1.
    """
    share = share_unchanged(model.tokenizer, trimmed.tokenizer, dev)
    run.log_metrics({"vocabulary/covered_dev_sentences": share})
    advice = ""
    if share < _MUCH_LESS * expected:
        advice = ": they use words that the corpus lacks. Keep more pieces, or give a wider vocabulary_corpus"
    echo(f"vocabulary: of the dev sentences {share:.1%} are cut as before{advice}")
