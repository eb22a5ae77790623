"""`train_nli`, `distil` and `train_sts`: one training phase as a command."""

import click

from pipelines.commands.options import FORCE, MODEL, TRAINING, flag, option, recipe_options, settings_of
from pipelines.console import Command, echo, silence_libraries
from pipelines.inputs.base import check_machine, find_sentence_model
from pipelines.inputs.load import find_teacher
from sbert_prune.errors import RecipeError
from sbert_prune.inputs.data import find_held_out, find_nli, find_sts, find_texts
from sbert_prune.inputs.texts import describe_sentences, distillation_sentences
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.recipe.settings import REFERENCE_TEACHER
from sbert_prune.system.command_line import command_line


def _alone(recipe: Recipe, phase: str) -> Recipe:
    """Return the recipe of one labelled phase: without a teacher, where the reference would be the recipe's own."""
    settings = recipe.settings_of(phase)
    asked_for = click.get_current_context().params.get(f"{phase}_distillation")
    if settings.distillation and recipe.distil.teacher == REFERENCE_TEACHER and asked_for is None:
        echo(f"{phase}: the labels alone teach; distil_teacher=models:/NAME/1 adds a teacher, as `full` does")
        settings = settings.model_copy(update={"distillation": 0.0})
    return recipe.model_copy(update={"phases": (phase,), phase: settings})


@click.command("train_nli", cls=Command)
@option("model", MODEL, required=True)
@recipe_options(*settings_of("nli"), "distil_teacher", "sts_data", "sts_score_range", *TRAINING)
@flag("force", FORCE)
def train_nli(recipe: Recipe, model: str, force: bool) -> None:
    """Fine-tune a sentence model on natural language inference and log the result."""
    recipe = _alone(recipe, "nli")
    check_machine(recipe)
    held_out = find_held_out(recipe)
    found = find_nli(recipe, held_out)  # before a model is downloaded: errors in the data are more common
    source, teacher = find_sentence_model(model, recipe), find_teacher(recipe)
    echo(*found.lines)

    from pipelines.steps.context import open_context
    from pipelines.steps.train import train

    silence_libraries()
    with open_context(recipe, force=force) as context:
        dev = held_out.dev if held_out else None
        saved = train(context, recipe, "nli", source, found.value, dev=dev, teacher=teacher)
    echo(f"model  {saved.uri}", f"next   {command_line('train_sts', model=saved.uri)}")


@click.command("distil", cls=Command)
@option("model", MODEL, required=True)
@recipe_options(*settings_of("distil"), "nli_data", "nli_max_rows", "sts_data", "sts_score_range", *TRAINING)
@flag("force", FORCE)
def distil(recipe: Recipe, model: str, force: bool) -> None:
    """Train a sentence model on a teacher's embeddings of sentences, and log the result."""
    recipe = recipe.model_copy(update={"phases": ("distil",)})
    check_machine(recipe)
    source = find_sentence_model(model, recipe)
    teacher = find_teacher(recipe)
    if recipe.distil.data is None and recipe.sts.data is None:
        raise RecipeError(
            f"The recipe {recipe.name} names no sentences to distil on. Give distil_data, a text file, or sts_data."
        )
    training = find_texts(recipe).value if recipe.sts.data is not None else None
    sentences = distillation_sentences(recipe, training)
    echo(describe_sentences(sentences))

    from pipelines.steps.context import open_context
    from pipelines.steps.train import train

    silence_libraries()
    with open_context(recipe, force=force) as context:
        dev = training.sts.dev if training else None
        saved = train(context, recipe, "distil", source, sentences, dev=dev, teacher=teacher)
    echo(f"model  {saved.uri}", f"next   {command_line('evaluate', model=saved.uri)}")


@click.command("train_sts", cls=Command)
@option("model", MODEL, required=True)
@recipe_options(*settings_of("sts"), "distil_teacher", *TRAINING)
@flag("force", FORCE)
def train_sts(recipe: Recipe, model: str, force: bool) -> None:
    """Fine-tune a sentence model on semantic textual similarity and log the result."""
    recipe = _alone(recipe, "sts")
    check_machine(recipe)
    found = find_sts(recipe)  # before a model is downloaded: errors in the data are more common
    source, teacher = find_sentence_model(model, recipe), find_teacher(recipe)
    echo(*found.lines)

    from pipelines.steps.context import open_context
    from pipelines.steps.train import train

    silence_libraries()
    with open_context(recipe, force=force) as context:
        saved = train(context, recipe, "sts", source, found.value.train, dev=found.value.dev, teacher=teacher)
    echo(f"model  {saved.uri}", f"next   {command_line('evaluate', model=saved.uri)}")
