"""`train_nli`: the first phase."""

import click

from pipelines.commands.options import FORCE, MODEL, TRAINING, flag, option, recipe_options, settings_of
from pipelines.console import Command, quieten_libraries, say
from pipelines.inputs.base import check_machine, find_sentence_model
from pipelines.inputs.data import find_held_out, find_nli
from pipelines.teaching import find_teacher
from sbert_prune.recipe.recipe import Recipe


@click.command("train_nli", cls=Command)
@option("model", MODEL, required=True)
@recipe_options(*settings_of("nli"), "distil_teacher", "sts_data", "sts_score_range", *TRAINING)
@flag("force", FORCE)
def command(recipe: Recipe, model: str, force: bool) -> None:
    """Fine-tune a sentence model on natural language inference and log the result."""
    recipe = recipe.model_copy(update={"phases": ("nli",)})
    check_machine(recipe)
    held_out = find_held_out(recipe)
    found = find_nli(recipe, held_out)  # before a model is fetched: data are wrong more often
    source, teacher = find_sentence_model(model, recipe), find_teacher(recipe)
    say(*found.lines)

    from pipelines.steps.context import open_context
    from pipelines.steps.train import Judged, train_nli

    quieten_libraries()
    with open_context(recipe, force=force) as context:
        saved = train_nli(context, source, found.value, Judged(held_out.dev if held_out else None, teacher))
    say(f"model  {saved.uri}", f"next   mlflow run . -e train_sts -P model={saved.uri}")
