"""`full`: one variant from base to registered version."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from pipelines.commands.options import FORCE, KEEP_INTERMEDIATE, PLAN, RECIPE_PARAMETERS, SEEDS, WRITE_RECIPE, flag, option, recipe_options
from pipelines.console import Command, echo
from pipelines.inputs.load import Inputs, check_disk_space, load_inputs
from sbert_prune.errors import RecipeError
from sbert_prune.recipe.dump import describe_recipe, recipe_written
from sbert_prune.recipe.recipe import Recipe


@click.command("full", cls=Command)
@recipe_options(*(name for name in RECIPE_PARAMETERS if name != "recipe"))
@option("write_recipe", WRITE_RECIPE)
@option("seeds", SEEDS)
@flag("plan", PLAN)
@flag("force", FORCE)
@flag("keep_intermediate", KEEP_INTERMEDIATE)
def full(recipe: Recipe, write_recipe: str | None, seeds: str | None, plan: bool, **how: bool) -> None:
    """Prune, train NLI, train STS, evaluate, register: one variant, and its reference where there is none yet."""
    chosen = parse_seeds(seeds) if seeds else ()
    echo(*describe_recipe(recipe))
    with recipe_written(recipe, Path(write_recipe)) if write_recipe is not None else nullcontext():
        inputs = load_inputs(recipe)
    if plan:
        echo(*format_plan([(recipe, inputs)]))
        if chosen:
            echo(f"seeds     all of this {len(chosen)} times, once for each of {seeds}")
        return
    check_disk_space(recipe, inputs)

    from pipelines.flows.full import run_full

    echo(*run_full(recipe, inputs, chosen, **how))


def format_plan(variants: Sequence[tuple[Recipe, Inputs]]) -> list[str]:
    """What making these would take, in lines for people."""
    from pipelines.flows.plan import plan

    with TemporaryDirectory() as scratch:
        return plan(variants, Path(scratch))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Two or more different seeds. Raises RecipeError."""
    parts = [part.strip() for part in text.split(",")]
    are_seeds = all(part.isascii() and part.isdecimal() and int(part) < 2**32 for part in parts)
    if not are_seeds or len(parts) < 2 or len(set(map(int, parts))) < len(parts):
        raise RecipeError(f"seeds={text}: write two or more different whole numbers, such as 1,2,3. For a single one there is seed=1.")
    return tuple(map(int, parts))
