"""`distil`: learn a teacher's embeddings."""

import click

from pipelines.commands.options import FORCE, MODEL, TRAINING, flag, option, recipe_options, settings_of
from pipelines.console import Command, quieten_libraries, say
from pipelines.inputs.base import check_machine, find_sentence_model
from pipelines.inputs.data import find_texts
from pipelines.inputs.texts import describe_sentences, distillation_texts
from pipelines.teaching import find_teacher
from sbert_prune.errors import RecipeError
from sbert_prune.recipe.recipe import Recipe


@click.command("distil", cls=Command)
@option("model", MODEL, required=True)
@recipe_options(*settings_of("distil"), "nli_data", "nli_max_rows", "sts_data", "sts_score_range", *TRAINING)
@flag("force", FORCE)
def command(recipe: Recipe, model: str, force: bool) -> None:
    """Teach a sentence model the embeddings of another one, sentence by sentence, and log the result."""
    recipe = recipe.model_copy(update={"phases": ("distil",)})
    check_machine(recipe)
    source = find_sentence_model(model, recipe)
    teacher = find_teacher(recipe)
    if recipe.distil.data is None and recipe.sts.data is None:
        raise RecipeError(f"The recipe {recipe.name} names no sentences to distil on. Give distil_data, a text file, or sts_data.")
    training = find_texts(recipe).value if recipe.sts.data is not None else None
    texts, record = distillation_texts(recipe, training)
    say(describe_sentences(record))

    from pipelines.steps.context import open_context
    from pipelines.steps.train import Judged, distil

    quieten_libraries()
    with open_context(recipe, force=force) as context:
        saved = distil(context, source, (texts, record), Judged(training.sts.dev if training else None, teacher))
    say(f"model  {saved.uri}", f"next   mlflow run . -e evaluate -P model={saved.uri}")
