"""`compare`: evaluate several models on the same rows, with their paired differences."""

from string import ascii_uppercase

import click

from pipelines.commands.options import BY_EMBEDDINGS, RIVALS, json_option, option, recipe_options
from pipelines.console import Command, echo, silence_libraries
from pipelines.inputs.base import check_machine, find_sentence_model, full_name
from pipelines.inputs.exam import find_exam
from sbert_prune.errors import RecipeError
from sbert_prune.inputs.data import find_sts_splits
from sbert_prune.recipe.recipe import Recipe

MODELS = "MODEL [MODEL ...]"


@click.command("compare", cls=Command)
@click.argument("models", nargs=-1, required=True, metavar=MODELS)
@recipe_options(
    "sts_data", "sts_score_range", *BY_EMBEDDINGS, "max_seq_length", "registered_model", "device", "on_bad_rows"
)
@option("rivals", RIVALS)
@json_option
def compare(recipe: Recipe, models: tuple[str, ...], rivals: str | None) -> None:
    """Compare models with the first one, on the same rows.

    MODEL is a folder, a hub id, a runs:/ or models:/ URI, a version such as 3, or @champion.
    """
    check_machine(recipe)
    rival_names = [full_name(name, recipe) for name in (rivals or "").split(",") if name.strip()]
    names = [full_name(name, recipe) for argument in models for name in argument.split(",") if name.strip()]
    names += rival_names
    if not 1 < len(set(names)) == len(names) <= len(ascii_uppercase):
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise RecipeError(
            f"compare needs 2 to {len(ascii_uppercase)} different models; given: {shown}. "
            "Name them one after the other."
        )
    exam = find_exam(recipe, find_sts_splits(recipe))
    parameters = {name: "rivals" if name in rival_names else "models" for name in names}
    sources = {name: find_sentence_model(name, recipe, parameter=parameters[name]) for name in names}

    from pipelines.flows.compare import compare
    from pipelines.steps.context import open_context

    silence_libraries()
    with open_context(recipe) as context:
        lines = compare(context, recipe, sources, exam)
    echo(*lines)
