"""`full`: one variant from base to registered version, beside the reference it is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.console import quieten_libraries, say
from pipelines.inputs.base import PruneInputs
from pipelines.inputs.load import Inputs, load_inputs
from sbert_prune.errors import TrackingError
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.registry.version import REFERENCE, VARIANT
from sbert_prune.tracking.store_uri import without_password

if TYPE_CHECKING:
    from pipelines.steps.context import Context
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run


def run_full(
    recipe: Recipe, inputs: Inputs | None = None, seeds: Sequence[int] = (), *, force: bool = False, keep_intermediate: bool = False
) -> list[str]:
    """Make one variant, or one a seed, and return the lines that `full` ends with.

    force: makes a variant that is there already once more.  keep_intermediate: logs the models between the steps as well.
    """
    inputs = inputs or load_inputs(recipe)

    from pipelines.flows.summary import summarise
    from pipelines.steps.context import open_context
    from sbert_prune.registry.versions import check_may_register

    quieten_libraries()
    with open_context(recipe, force=force, keep=keep_intermediate) as context:
        say(f"store {without_password(context.store.uri)}; {context.hardware}")
        check_may_register(context.store, recipe.registered_model)
        if seeds:
            from pipelines.over_seeds import run_seeds

            name = run_name(recipe, inputs.pruning).removesuffix(f" s{recipe.seed}")
            return run_seeds(context, inputs, seeds, name, make_variant)
        variant, reference = make_variant(context, inputs)
        return summarise(context.store, variant, reference)


def make_variant(context: Context, inputs: Inputs) -> tuple[Version, Version]:
    """Open the run of one variant and fill it; returns the variant and its reference."""
    from pipelines.flows.summary import draw_variants
    from pipelines.flows.variant import find_or_build, find_or_build_reference
    from pipelines.publishing import publish
    from pipelines.steps.context import describe_all
    from sbert_prune.registry import versions as registry

    recipe = context.recipe
    makes_smaller = inputs.pruning.drops_layers or recipe.vocabulary_limit.trims
    role = VARIANT if makes_smaller else REFERENCE
    with context.under(run_name(recipe, inputs.pruning), {"role": role}, recipe) as (inner, run):
        log_understood(inner, run, inputs)
        reference = find_or_build_reference(inner, inputs, anew=context.force and not makes_smaller)
        variant = find_or_build(inner, inputs, reference) if makes_smaller else reference
        publish(run, variant, inputs)
        try:
            draw_variants(run, registry.versions(context.store, recipe.registered_model, newest=registry.SHOWN))
        except TrackingError as error:  # a picture less: the variant is registered
            say(f"no picture of all variants: {error}")
    describe_all(context.store, recipe.registered_model)
    return variant, reference


def log_understood(context: Context, run: Run, inputs: Inputs) -> None:
    """Before anything is trained: how the base's tokenizer fits the texts, and what train shared with dev and test."""
    from pipelines.fitting import log_fit, look_at_fit, tokenizer_of

    base = inputs.pruning.base
    length = context.recipe.max_seq_length
    log_fit(run, look_at_fit(tokenizer_of(base), inputs.texts.sample(), length))
    kept = context.recipe.keep_leaks
    run.log_json(
        {phase: leaks.as_dict() | {"left_out": 0 if kept else len(leaks.sentence_rows)} for phase, leaks in inputs.leaks.items()},
        "leaks.json",
    )


def run_name(recipe: Recipe, pruning: PruneInputs) -> str:
    """A run's name for people: "full L6 drop-top v8000 s42", with the phases where they are not the paper's."""
    phases = [] if recipe.phases == ("nli", "sts") else ["+".join(recipe.phases)]
    vocabulary = [f"v{recipe.vocabulary}"] if recipe.vocabulary_limit.trims else []
    return " ".join(["full", f"L{pruning.num_layers}", pruning.strategy, *vocabulary, *phases, f"s{recipe.seed}"])
