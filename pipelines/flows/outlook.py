"""How much the steps of a variant compute, compared with each other, so that a command knows what is ahead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.flows.variant import cuts_to_train, is_smaller, whole_variant
from pipelines.progress import Part, outlook
from pipelines.steps.keys import variant_key
from sbert_prune.training import estimate
from sbert_prune.training.phases import PHASES
from sbert_prune.training.setup import TEACHING, TRAINING

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe

_TRAINING = 3.0
"""A training pass compared with a forward pass."""
_MEASURES = 4.0
"""What an evaluation embeds, its speed and its rivals included, compared with the pairs of dev and test."""
_CHARS_A_PIECE = 4
_SAMPLE = 200
_PRUNE_S, _EVALUATE_S, _REGISTER_S = 1.0, 8.0, 5.0


def expect_variants(context: Context, variants: Sequence[tuple[Recipe, Inputs]]) -> None:
    """Note the steps of variants and their references; those that are found made are dropped when they are found."""
    for recipe, inputs in variants:
        both = [whole_variant(recipe, inputs), *([(recipe, inputs)] if is_smaller(recipe, inputs) else [])]
        for number, (own, own_inputs) in enumerate(both):
            key = variant_key(own, context.hardware, own_inputs)
            outlook().expect(key, _parts(key, own, own_inputs, has_reference=number > 0))


def _parts(key: str, recipe: Recipe, inputs: Inputs, *, has_reference: bool) -> Iterator[Part]:
    """The work is counted in characters times layers; the embeddings and the loss count as one layer more."""
    pruning, texts, passes = inputs.pruning, inputs.texts, 1
    dev = texts.sts.dev.rows if texts.sts.dev else ()
    dev_chars = len(dev) * _mean_chars([row.sentences for row in dev[:_SAMPLE]], recipe)
    for layers in cuts_to_train(inputs, has_reference=has_reference):
        passes = replace(pruning, cuts=(layers,)).num_layers + 1
        yield Part(key, "prune", fixed_s=_PRUNE_S)
        for phase in recipe.phases:
            rows, settings = PHASES[phase].rows(texts), recipe.settings_of(phase)
            assert rows is not None  # loaded with the other inputs
            part = estimate.Part(phase, rows.rows, settings, recipe.seed)
            examples, _ = PHASES[phase].examples(part.draw(_SAMPLE), settings)
            chars = part.examples * _mean_chars(examples[:_SAMPLE], recipe)
            evaluations = max(1, math.floor(settings.epochs / settings.evaluate_every)) if dev else 0
            work = passes * (_TRAINING * settings.epochs * chars + evaluations * dev_chars)
            taught = settings.distillation > 0
            teaching = {TEACHING: chars * (pruning.base.checkpoint.depth + 1)} if taught else {}
            yield Part(key, PHASES[phase].step, teaching | {TRAINING: work})
    test_chars = sum(len(rows) for rows in inputs.exam.splits.values()) * dev_chars / max(1, len(dev))
    yield Part(key, "evaluate", {"": _MEASURES * passes * test_chars}, _EVALUATE_S)
    yield Part(key, "register", {"": passes * test_chars}, _REGISTER_S)


def _mean_chars(examples: Sequence[Sequence[str]], recipe: Recipe) -> float:
    """Return the mean number of characters in an example, of all its sentences together."""
    limit = _CHARS_A_PIECE * recipe.max_seq_length
    return sum(min(len(text), limit) for example in examples for text in example) / max(1, len(examples))
