"""`train_nli`: the first phase."""

import click

from pipelines.console import Command, quieten_libraries, say
from pipelines.inputs import check_machine, find_nli, find_sentence_model
from pipelines.parameters import MODEL, TRAINING, option, recipe_options
from sbert_prune.recipe import Recipe


@click.command("train_nli", cls=Command)
@option("model", MODEL, required=True)
@recipe_options("nli_data", "nli_loss", "nli_epochs", "nli_batch_size", "nli_learning_rate", "nli_max_rows", *TRAINING)
def command(recipe: Recipe, model: str) -> None:
    """Fine-tune a sentence model on natural language inference and log the result."""
    check_machine(recipe)
    source = find_sentence_model(model, recipe)
    data, lines = find_nli(recipe)
    say(*lines)

    from pipelines.context import open_context
    from pipelines.steps import train_nli

    quieten_libraries()
    with open_context(recipe) as context:
        saved = train_nli(context, source, data.train)
    say(f"model  {saved.uri}", f"next   mlflow run . -e train_sts -P model={saved.uri}")
