"""The prune step: drop layers, trim the vocabulary if the recipe says so, and save a sentence model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.steps.keys import prune_key
from pipelines.steps.records import lineage_tags, refuse_non_finite, save
from pipelines.steps.reuse import find_finished_step, record_reuse
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.recipe.recipe import FULL_PRECISION
from sbert_prune.report.charts import similarity_map
from sbert_prune.variant import cut_layers, select_layers, trim_pieces
from sbert_prune.vocabulary.trim import share_unchanged

if TYPE_CHECKING:
    from pipelines.inputs.base import PruneInputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe, SavePrecision
    from sbert_prune.tracking.runs import Run
    from sbert_prune.variant import Choice, Variant
    from sbert_prune.vocabulary.trim import TrimReport

_MUCH_LESS = 0.9
"""A share of unchanged dev sentences below this part of the expected one brings a warning."""

_READS = ("base_model", "layers", "strategy", "schedule", "vocabulary", "pooling", "max_seq_length", "convert_pickle")


def prune(
    context: Context,
    recipe: Recipe,
    source: SavedModel,
    layers: str,
    inputs: PruneInputs,
    *,
    trims: bool = True,
    save_precision: SavePrecision = FULL_PRECISION,
) -> SavedModel:
    """Prune a model to the layers to keep, and trim its vocabulary to the recipe's limit.

    Args:
        context: The command's context.
        recipe: Sets strategy, pooling and vocabulary limit.
        source: The model to prune; it stays as it is.
        layers: A count or a list of layers.
        inputs: The base, the strategy, and the texts that a measured strategy needs.
        trims: False leaves the vocabulary as it is: the first cut of a schedule has trimmed it.
        save_precision: Number type of the saved weights; float32 for a model that is trained next.
    """
    key = prune_key(recipe, source, layers, inputs, trims=trims, save_precision=save_precision)
    if (finished := find_finished_step(context, key)) is not None:
        return record_reuse(context, recipe, "prune", finished)
    with context.step("prune", lineage_tags(lineage_of(source)) | {"step_key": key}, recipe, reads=_READS) as run:
        choice = select_layers(recipe, source, layers, inputs.texts)
        _log_choice(context, run, choice, inputs.strategy)
        variant = cut_layers(
            recipe,
            source,
            choice.selection,
            strategy=inputs.strategy,
            scratch=context.workspace,
            run_id=run.run_id,
        )
        if trims and recipe.vocabulary_limit.trims:
            variant = _trim(recipe, run, variant, inputs)
        variant = variant.rounded(save_precision)
        run.set_tags(lineage_tags(variant.lineage))
        return save(context, recipe, run, variant, key=key)


def _log_choice(context: Context, run: Run, choice: Choice, strategy: str) -> None:
    """Log the scores of a measured strategy with a picture, on the parent run as well."""
    selection, importance = choice.selection, choice.importance
    if importance is None or choice.similarity is None:
        return
    scores = enumerate(importance.layer_scores())
    run.log_series([(index, {"importance/score": score}) for index, score in scores if score is not None])
    title = f"{strategy} keeps {selection} of {selection.depth} layers"
    picture = similarity_map(choice.similarity, selection, title=title)
    result = importance.as_dict() | {"kept_layers": list(selection.kept)}
    for logged_to in filter(None, (run, context.parent)):
        logged_to.log_json(result, f"importance/{strategy}_{selection.depth}_layers.json")
        logged_to.log_figure(picture, f"importance/similarity_{selection.depth}_layers.png")
    echo(f"strategy {title}")


def _trim(recipe: Recipe, run: Run, variant: Variant, inputs: PruneInputs) -> Variant:
    """Trim the vocabulary to the recipe's limit, and log the effect on size and held-out text."""
    trimmed, report = trim_pieces(recipe, variant, inputs.texts, run_id=run.run_id)
    values = asdict(report) | {"bytes_before": report.bytes_before, "bytes_after": report.bytes_after}
    metrics = {f"vocabulary/{key}": float(value) for key, value in values.items() if not isinstance(value, str)}
    refuse_non_finite(metrics)
    run.log_metrics(metrics)
    run.log_json(values, "vocabulary.json")
    if (record := trimmed.lineage.trim) is not None:
        run.log_data(record.corpus, "vocabulary")
    echo(*_trim_lines(report))
    if inputs.texts is not None:
        _measure_on_dev(run, variant, trimmed, inputs.texts.dev(), expected=report.covered_sentences)
    return trimmed


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


def _measure_on_dev(run: Run, before: Variant, trimmed: Variant, dev: list[str], *, expected: float) -> None:
    """Log the share of dev sentences that are tokenized as before: the task's text may differ from the corpus.

    Args:
        run: The run of the step.
        before: The variant before trimming.
        trimmed: The variant after trimming.
        dev: The dev sentences.
        expected: The share for held-out text of the corpus, 0 to 1.
    """
    share = share_unchanged(before.model.tokenizer, trimmed.model.tokenizer, dev)
    run.log_metrics({"vocabulary/covered_dev_sentences": share})
    advice = ""
    if share < _MUCH_LESS * expected:
        advice = ": they use words that the corpus lacks. Keep more pieces, or give a wider vocabulary_corpus"
    echo(f"vocabulary: of the dev sentences {share:.1%} are cut as before{advice}")
