"""`train_sts`: the second phase."""

import click

from pipelines.commands.options import FORCE, MODEL, TRAINING, flag, option, recipe_options, settings_of
from pipelines.console import Command, quieten_libraries, say
from pipelines.inputs.base import check_machine, find_sentence_model
from pipelines.inputs.data import find_sts
from pipelines.teaching import find_teacher
from sbert_prune.recipe.recipe import Recipe


@click.command("train_sts", cls=Command)
@option("model", MODEL, required=True)
@recipe_options(*settings_of("sts"), "distil_teacher", *TRAINING)
@flag("force", FORCE)
def command(recipe: Recipe, model: str, force: bool) -> None:
    """Fine-tune a sentence model on semantic textual similarity and log the result."""
    recipe = recipe.model_copy(update={"phases": ("sts",)})
    check_machine(recipe)
    found = find_sts(recipe)  # before a model is fetched: data are wrong more often
    source, teacher = find_sentence_model(model, recipe), find_teacher(recipe)
    say(*found.lines)

    from pipelines.steps.context import open_context
    from pipelines.steps.train import Judged, train_sts

    quieten_libraries()
    with open_context(recipe, force=force) as context:
        saved = train_sts(context, source, found.value.train, Judged(found.value.dev, teacher))
    say(f"model  {saved.uri}", f"next   mlflow run . -e evaluate -P model={saved.uri}")
