"""`rollback`: take the last promotion to Production back."""

import click

from pipelines.console import Command, say
from pipelines.parameters import DEFAULT_RECIPE, REASON, RECIPE_PARAMETERS, option
from sbert_prune.one_line import one_line
from sbert_prune.recipe_files import load_recipe
from sbert_prune.store_uri import check_store


@click.command("rollback", cls=Command)
@option("registered_model", RECIPE_PARAMETERS["registered_model"])
@option("reason", REASON)
def command(registered_model: str | None, reason: str | None) -> None:
    """Give Production and the alias champion back to the version that held them before."""
    name = registered_model or load_recipe(DEFAULT_RECIPE).registered_model
    check_store(must_exist=True)

    from pipelines.promoting import roll_back

    say(*roll_back(name, one_line(reason or "") or "no reason was given"))
