"""`rollback`: take the last promotion to Production back."""

import click

from pipelines.commands.options import DEFAULT_RECIPE, REASON, RECIPE_PARAMETERS, option
from pipelines.console import Command, say
from sbert_prune.recipe.files import load_recipe
from sbert_prune.system.text import one_line
from sbert_prune.tracking.store_uri import check_store


@click.command("rollback", cls=Command)
@option("registered_model", RECIPE_PARAMETERS["registered_model"])
@option("reason", REASON)
def command(registered_model: str | None, reason: str | None) -> None:
    """Give Production and the alias champion back to the version that held them before."""
    name = registered_model or load_recipe(DEFAULT_RECIPE).registered_model
    check_store(must_exist=True)

    from pipelines.lifecycle.promote import roll_back

    say(*roll_back(name, one_line(reason or "") or "no reason was given"))
