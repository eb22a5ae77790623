"""`sweep`: make a variant for each strategy and depth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from pipelines.commands.full import distinct_numbers, format_plan
from pipelines.commands.options import (
    DEPTHS,
    FORCE,
    PLAN,
    RECIPE_PARAMETERS,
    RIVALS,
    SWEPT,
    flag,
    option,
    recipe_options,
)
from pipelines.console import Command, echo, silence_libraries
from pipelines.inputs.base import check_machine, find_base, find_named_rivals
from pipelines.inputs.load import Inputs, check_disk_space, load_inputs
from sbert_prune.errors import RecipeError
from sbert_prune.recipe.dump import describe_recipe
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.tracking.secrets import masked_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.inputs.base import PruneInputs
    from sbert_prune.models.saved_model import SavedModel

_SWEPT = {"recipe", "layers", "strategy", "schedule"}
_SHARES = (1, 2 / 3, 1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 12)


@click.command("sweep", cls=Command)
@recipe_options(*(name for name in RECIPE_PARAMETERS if name not in _SWEPT))
@option("depths", DEPTHS)
@option("strategies", SWEPT)
@option("rivals", RIVALS)
@flag("plan", PLAN)
@flag("force", FORCE)
def sweep(recipe: Recipe, rivals: str | None, plan: bool, force: bool, **swept_over: str | None) -> None:
    """Make a variant for every depth and strategy, and plot quality against size and speed."""
    check_machine(recipe)
    variants = find_variants(recipe, **swept_over)
    named = find_named_rivals(rivals, recipe)
    echo(*describe_recipe(variants[0][0]))
    inputs = load_inputs(variants[0][0])
    swept = [(variant, replace(inputs, pruning=replace(pruning, texts=inputs.texts))) for variant, pruning in variants]
    if plan:
        echo(*format_plan(distinct(swept), force=force))
        return
    check_disk_space(*max(swept, key=lambda variant: variant[1].pruning.num_layers))
    echo(*run_sweep(swept, named, force=force))


def distinct(variants: list[tuple[Recipe, Inputs]]) -> list[tuple[Recipe, Inputs]]:
    """Return the variants that a sweep makes: each selection of layers once."""
    by_selection: dict[str, tuple[Recipe, Inputs]] = {}
    for recipe, inputs in variants:
        by_selection.setdefault(inputs.pruning.described, (recipe, inputs))
    return list(by_selection.values())


def find_variants(recipe: Recipe, depths: str | None, strategies: str | None) -> list[tuple[Recipe, PruneInputs]]:
    """Return a recipe for each depth and strategy, the deepest first, with its base.

    Raises:
        RecipeError: A value of `depths` or `strategies` is not valid.
        SelectionError: The base cannot have these layers.
    """
    depth = find_base(recipe.keeping("1", "drop-top")).base.checkpoint.depth
    counts = _counts(depths, depth)
    names = [name.strip() for name in (strategies or recipe.strategy).split(",")]
    if len(set(names)) < len(names) or "" in names:
        raise RecipeError(
            f"strategies={strategies}: write each strategy once, "
            "with commas between them, such as drop-top,drop-alternate."
        )
    recipes = [recipe.keeping(str(count), name) for count in sorted(counts, reverse=True) for name in names]
    return [(variant, find_base(variant)) for variant in recipes]


def _counts(depths: str | None, depth: int) -> list[int]:
    if depths is None:
        return sorted({max(1, round(share * depth)) for share in _SHARES})
    counts = list(distinct_numbers(depths, below=10_000))
    if not counts:
        raise RecipeError(
            f"depths={depths}: write different numbers of layers with commas between them, such as 12,8,6,4,3,2,1."
        )
    return counts


def run_sweep(
    variants: list[tuple[Recipe, Inputs]], rivals: Mapping[str, SavedModel] | None = None, *, force: bool = False
) -> list[str]:
    """Make the variants and the plot; return the last lines that `sweep` prints."""
    from pipelines.flows.sweep import sweep
    from pipelines.steps.context import open_context
    from sbert_prune.registry.versions import check_may_register

    silence_libraries()
    recipe = variants[0][0]
    with open_context(recipe, force=force) as context:
        echo(f"store {masked_uri(context.store.uri)}; {context.hardware}")
        check_may_register(context.store, recipe.registered_model)
        return sweep(context, variants, rivals)
