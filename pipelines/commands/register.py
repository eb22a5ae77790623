"""`register`: register a sentence model as a version."""

import click

from pipelines.commands.options import FORCE, MODEL, flag, option, recipe_options
from pipelines.console import Command, echo, silence_libraries
from pipelines.inputs.base import check_machine, find_sentence_model
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.system.command_line import command_line


@click.command("register", cls=Command)
@option("model", MODEL, required=True)
@recipe_options("registered_model", "seed")
@flag("force", FORCE)
def register(recipe: Recipe, model: str, force: bool) -> None:
    """Check that a model reloads with the same embeddings, and register it with its lineage and newest evaluation."""
    check_machine(recipe)
    source = find_sentence_model(model, recipe)

    from pipelines.steps.context import describe_all, open_context
    from pipelines.steps.register import register_once
    from sbert_prune.registry.versions import check_may_register

    silence_libraries()
    with open_context(recipe, force=force) as context:
        check_may_register(context.store, recipe.registered_model)
        version = register_once(context, recipe, source, {"seed": str(recipe.seed)})
        describe_all(context.store, version.name)
    promote = command_line("promote", registered_model=version.name, version=version.version)
    echo(f"model    {version.uri}", f"promote  {promote}")
