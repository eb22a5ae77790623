"""`full`: one variant from base to registered version, beside the reference it is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from pipelines.console import Command, quieten_libraries, say
from pipelines.inputs import PruneInputs
from pipelines.loading import Inputs, load_inputs
from pipelines.parameters import FORCE, KEEP_INTERMEDIATE, PLAN, RECIPE_PARAMETERS, SEEDS, WRITE_RECIPE, flag, option, recipe_options
from pipelines.room import check_room
from sbert_prune.errors import RecipeError, TrackingError
from sbert_prune.recipe import Recipe
from sbert_prune.recipe_dump import describe_recipe, recipe_written
from sbert_prune.store_uri import without_password

if TYPE_CHECKING:
    from pipelines.context import Context
    from sbert_prune.registry import Version
    from sbert_prune.tracking import Run


@click.command("full", cls=Command)
@recipe_options(*(name for name in RECIPE_PARAMETERS if name != "recipe"))
@option("write_recipe", WRITE_RECIPE)
@option("seeds", SEEDS)
@flag("plan", PLAN)
@flag("force", FORCE)
@flag("keep_intermediate", KEEP_INTERMEDIATE)
def command(recipe: Recipe, write_recipe: str | None, seeds: str | None, plan: bool, **how: bool) -> None:
    """Prune, train NLI, train STS, evaluate, register: one variant, and its reference where there is none yet."""
    chosen = parse_seeds(seeds) if seeds else ()
    say(*describe_recipe(recipe))
    with recipe_written(recipe, Path(write_recipe)) if write_recipe is not None else nullcontext():
        inputs = load_inputs(recipe)
    if not plan:
        check_room(recipe, inputs)
    say(*(told_plan([(recipe, inputs)]) if plan else run_full(recipe, inputs, chosen, **how)))
    if plan and chosen:
        say(f"seeds     all of this {len(chosen)} times, once for each of {seeds}")


def told_plan(variants: Sequence[tuple[Recipe, Inputs]]) -> list[str]:
    """What making these would take, in lines for people."""
    from pipelines.plan import plan

    with TemporaryDirectory() as scratch:
        return plan(variants, Path(scratch))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Two or more different seeds. Raises RecipeError."""
    parts = [part.strip() for part in text.split(",")]
    are_seeds = all(part.isascii() and part.isdecimal() and int(part) < 2**32 for part in parts)
    if not are_seeds or len(parts) < 2 or len(set(map(int, parts))) < len(parts):
        raise RecipeError(f"seeds={text}: write two or more different whole numbers, such as 1,2,3. For a single one there is seed=1.")
    return tuple(map(int, parts))


def run_full(
    recipe: Recipe, inputs: Inputs | None = None, seeds: Sequence[int] = (), *, force: bool = False, keep_intermediate: bool = False
) -> list[str]:
    """Make one variant, or one a seed, and return the lines that `full` ends with.

    force: makes a variant that is there already once more.  keep_intermediate: logs the models between the steps as well.
    """
    inputs = inputs or load_inputs(recipe)

    from pipelines.context import open_context
    from pipelines.summary import summarise
    from sbert_prune.registry import check_may_register

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
    from pipelines.building import find_or_build, find_or_build_reference
    from pipelines.context import describe_all
    from pipelines.publishing import publish
    from pipelines.summary import draw_variants
    from sbert_prune import registry

    recipe = context.recipe
    makes_smaller = inputs.pruning.drops_layers or recipe.vocabulary_limit.trims
    role = registry.VARIANT if makes_smaller else registry.REFERENCE
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
