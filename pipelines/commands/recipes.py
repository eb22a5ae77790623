"""`recipes`: list the recipes of the package, or show one with every value."""

import click

from pipelines.commands.options import Parameter, option
from pipelines.console import Command, echo
from sbert_prune.recipe.dump import dump_recipe
from sbert_prune.recipe.files import load_recipe, presets
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.system.command_line import command_line
from sbert_prune.system.table import aligned

NAME = Parameter(
    None, "A recipe, or a .yaml file of your own, to show with every value; lists all recipes when left out."
)


@click.command("recipes", cls=Command)
@click.argument("shown", required=False, metavar="[NAME]")
@option("name", NAME)
def recipes(shown: str | None, name: str | None) -> None:
    """List the recipes of the package, or show one with every value, as YAML for a file of your own."""
    selected = name or shown
    if selected:
        echo(dump_recipe(load_recipe(selected)).rstrip())
    else:
        echo(list_recipes([load_recipe(preset) for preset in presets()]))


def list_recipes(recipes: list[Recipe]) -> str:
    """Return a table with the base, the data and the downloads of each recipe, and its description below."""
    header = ("recipe", "base", "NLI data", "STS data", "downloads")
    rows = [header, *(_cells(recipe) for recipe in recipes)]
    lines = aligned(rows)
    descriptions = [f"  {recipe.about}" if recipe.about else "" for recipe in recipes]
    table = [line for pair in zip(lines[1:], descriptions, strict=True) for line in pair if line]
    hint = f"Every value of one: {command_line('recipes', name='NAME')}. One of your own: docs/recipes.md"
    return "\n".join([lines[0], *table, "", hint])


def _cells(recipe: Recipe) -> tuple[str, ...]:
    """Return a row of the table, without revisions; data that the recipe does not name are shown as "yours"."""
    data = [(group.data or "yours").partition("@")[0] for group in (recipe.nli, recipe.sts)]
    megabytes = sum(recipe.downloads.values())
    return (
        recipe.name,
        recipe.base_model.partition("@")[0],
        *data,
        f"about {megabytes:,.0f} MB" if megabytes else "nothing",
    )
