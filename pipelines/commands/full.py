"""`full`: make one variant, from the base to a registered version."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from pipelines.commands.options import (
    FORCE,
    KEEP_INTERMEDIATE,
    PLAN,
    RECIPE_PARAMETERS,
    RIVALS,
    SEEDS,
    WRITE_RECIPE,
    flag,
    json_option,
    option,
    recipe_options,
)
from pipelines.console import Command, echo, report_facts
from pipelines.inputs.base import find_named_rivals
from pipelines.inputs.load import Inputs, check_disk_space, load_inputs
from sbert_prune.errors import RecipeError
from sbert_prune.recipe.dump import describe_recipe, recipe_written
from sbert_prune.recipe.recipe import Recipe


@click.command("full", cls=Command)
@recipe_options(*(name for name in RECIPE_PARAMETERS if name != "recipe"))
@option("write_recipe", WRITE_RECIPE)
@option("seeds", SEEDS)
@option("rivals", RIVALS)
@flag("plan", PLAN)
@json_option
@flag("force", FORCE)
@flag("keep_intermediate", KEEP_INTERMEDIATE)
def full(
    recipe: Recipe, write_recipe: str | None, seeds: str | None, rivals: str | None, plan: bool, **options: bool
) -> None:
    """Prune, train NLI, train STS, evaluate and register one variant, and its reference if there is none yet."""
    seed_values = parse_seeds(seeds) if seeds else ()
    echo(*describe_recipe(recipe))
    with recipe_written(recipe, Path(write_recipe)) if write_recipe is not None else nullcontext():
        named = find_named_rivals(rivals, recipe)
        inputs = load_inputs(recipe)
    if not plan:
        check_disk_space(recipe, inputs)
        from pipelines.flows.full import run_full

        echo(*run_full(recipe, inputs, seed_values, named, **options))
        return
    recipes = [recipe.with_seed(seed) for seed in seed_values] or [recipe]
    echo(*format_plan([(seeded, inputs) for seeded in recipes], force=options["force"]))


def format_plan(variants: Sequence[tuple[Recipe, Inputs]], *, force: bool) -> list[str]:
    """Return lines that estimate what making these variants would take."""
    from pipelines.flows.plan import plan

    with TemporaryDirectory() as scratch:
        lines = plan(variants, Path(scratch), force=force)
    report_facts(plan=lines[1:])
    return lines


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse two or more different seeds. Raises RecipeError for anything else."""
    seeds = distinct_numbers(text, below=2**32)
    if len(seeds) < 2:
        raise RecipeError(
            f"seeds={text}: write two or more different whole numbers, such as 1,2,3. For a single seed, use seed=1."
        )
    return seeds


def distinct_numbers(text: str, *, below: int) -> tuple[int, ...]:
    """Parse different whole numbers with commas between them; return () for anything else."""
    parts = [part.strip() for part in text.split(",")]
    numbers = tuple(int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) <= 10)
    return numbers if len(set(numbers)) == len(parts) and max(numbers) < below else ()
