"""`prune`: cut a base to the layers to keep."""

import click

from pipelines.console import Command, quieten_libraries, say
from pipelines.inputs import check_machine, find_base
from pipelines.parameters import recipe_options
from sbert_prune.recipe import Recipe


@click.command("prune", cls=Command)
@recipe_options("base_model", "layers", "strategy", "pooling", "max_seq_length", "seed", "registered_model")
def command(recipe: Recipe) -> None:
    """Cut a base to the layers to keep and log it as a sentence model, not yet fine-tuned."""
    check_machine(recipe)
    inputs = find_base(recipe)

    from pipelines.context import open_context
    from pipelines.steps import prune

    quieten_libraries()
    with open_context(recipe) as context:
        saved = prune(context, inputs)
    selection = inputs.selection
    say(
        f"kept layers {selection} of {selection.depth} ({inputs.strategy})",
        f"model  {saved.uri}",
        f"next   mlflow run . -e train_nli -P model={saved.uri}",
    )
