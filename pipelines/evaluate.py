"""`evaluate`: judge any sentence model."""

import click

from pipelines.console import Command, quieten_libraries, say
from pipelines.data import find_sts_splits
from pipelines.inputs import check_machine, find_base_of, find_model, find_sentence_model
from pipelines.parameters import MODEL, Parameter, option, recipe_options
from sbert_prune.data.described import describe_rows
from sbert_prune.errors import RecipeError
from sbert_prune.recipe import Recipe

REFERENCE = Parameter(None, "The model to measure retention against: a folder, a hub id, or a runs:/ or models:/ URI.")


@click.command("evaluate", cls=Command)
@option("model", MODEL, required=True)
@option("reference", REFERENCE)
@recipe_options("sts_data", "sts_score_range", "on_bad_rows")
def command(recipe: Recipe, model: str, reference: str | None) -> None:
    """Judge a sentence model: STS on dev and test (a single file is the test), size, speed, retention."""
    check_machine(recipe)
    splits = find_sts_splits(recipe)
    for split, rows in splits.items():
        say(*(f"sts {line}" for line in describe_rows(split, rows)))
    if reference and "test" not in splits:
        raise RecipeError(
            f"reference={reference}: retention is measured on test pairs, and {recipe.sts.data} has none. Add test.*, or leave it out."
        )
    source = find_sentence_model(model, recipe)
    against = find_model(reference) if reference else None

    from pipelines.context import open_context
    from pipelines.records import logged_id
    from pipelines.steps import evaluate, sts_score

    quieten_libraries()
    with open_context(recipe) as context:
        score = sts_score(context, against, splits["test"]) if against and "test" in splits else None
        metrics = evaluate(context, source, splits, base=find_base_of(source), reference_score=score)
    say(*(f"{name:<34} {value:,.4f}" for name, value in sorted(metrics.items())))
    if logged_id(source):
        say(f"next   mlflow run . -e register -P model={source.uri}")
