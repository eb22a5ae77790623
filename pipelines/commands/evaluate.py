"""`evaluate`: evaluate any sentence model."""

import click

from pipelines.commands.options import FORCE, JUDGING, MODEL, Parameter, flag, option, recipe_options
from pipelines.console import Command, echo, silence_libraries
from pipelines.inputs.base import check_machine, find_base_of, find_sentence_model
from pipelines.inputs.exam import find_exam
from sbert_prune.data.describe import describe_rows
from sbert_prune.errors import RecipeError
from sbert_prune.inputs.data import find_sts_splits
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.system.command_line import command_line

REFERENCE = Parameter(
    None, "A model to compare it with, for retention and differences: a folder, a hub id, or a runs:/ or models:/ URI."
)


@click.command("evaluate", cls=Command)
@option("model", MODEL, required=True)
@option("reference", REFERENCE)
@recipe_options(
    "sts_data",
    "sts_score_range",
    *JUDGING,
    "convert_pickle",
    "max_seq_length",
    "registered_model",
    "device",
    "on_bad_rows",
)
@flag("force", FORCE)
def evaluate(recipe: Recipe, model: str, reference: str | None, force: bool) -> None:
    """Evaluate any sentence model: similarity, classification, search, robustness, speed, memory, layers.

    It is compared with its base and the champion.
    """
    check_machine(recipe)
    splits = find_sts_splits(recipe)
    exam = find_exam(recipe, splits)
    echo(*(f"sts {line}" for split, rows in splits.items() for line in describe_rows(split, rows)), *exam.lines)
    if reference and "test" not in splits:
        raise RecipeError(
            f"reference={reference}: retention is measured on test pairs, and {recipe.sts.data} has none. "
            "Add test.*, or leave it out."
        )
    source = find_sentence_model(model, recipe)
    against = find_sentence_model(reference, recipe, parameter="reference") if reference else None

    from pipelines.flows.summary import judgement_lines, metric_lines, where_report
    from pipelines.steps.context import open_context
    from pipelines.steps.evaluate import EarlierEvaluation, evaluate, find_earlier
    from pipelines.steps.keys import exam_tags
    from pipelines.steps.records import logged_id
    from pipelines.steps.register import RecordedEvaluation, complete_versions
    from pipelines.steps.rivals import Rivals, find_champion

    silence_libraries()
    with open_context(recipe.device, recipe.precision, force=force) as context:
        rivals = Rivals(find_base_of(source), against, find_champion(context.store, recipe.registered_model, source))
        result = find_earlier(context, recipe, source, exam, rivals) or evaluate(context, recipe, source, exam, rivals)
        lines = metric_lines(result.metrics) if isinstance(result, EarlierEvaluation) else judgement_lines(result)
        echo(*lines, where_report(context.store, result.run_id))
        complete_versions(context.store, source, RecordedEvaluation.of(result, exam_tags(recipe, exam)))
    if logged_id(source):
        echo(f"next   {command_line('register', model=source.uri)}")
