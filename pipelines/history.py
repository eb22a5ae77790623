"""`history`: every promotion, refusal and rollback of a registered model."""

import click

from pipelines.commands.options import DEFAULT_RECIPE, RECIPE_PARAMETERS, option
from pipelines.console import Command, say
from sbert_prune.recipe.files import load_recipe
from sbert_prune.tracking.store_uri import check_store


@click.command("history", cls=Command)
@option("registered_model", RECIPE_PARAMETERS["registered_model"])
def command(registered_model: str | None) -> None:
    """Print who moved which version to which stage, when, why, on which numbers, and instead of whom; and what was refused."""
    name = registered_model or load_recipe(DEFAULT_RECIPE).registered_model
    check_store(must_exist=True)

    from pipelines.lifecycle.history import tell_history

    say(*tell_history(name))
