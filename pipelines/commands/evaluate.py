"""`evaluate`: evaluate any sentence model."""

import click

from pipelines.commands.options import (
    FORCE,
    JUDGING,
    MODEL,
    MODELS,
    Parameter,
    flag,
    json_option,
    option,
    recipe_options,
)
from pipelines.console import Command, echo, report_facts, silence_libraries
from pipelines.inputs.base import check_machine, find_base_of, find_sentence_model
from pipelines.inputs.exam import find_exam
from sbert_prune.data.describe import describe_rows
from sbert_prune.errors import RecipeError
from sbert_prune.inputs.data import find_sts_splits
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.system.command_line import command_line

REFERENCE = Parameter(None, f"A model to compare it with, for retention and differences: {MODELS}.")


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
@json_option
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
    with open_context(recipe, force=force) as context:
        rivals = Rivals(find_base_of(source), against, find_champion(context.store, recipe.registered_model, source))
        result = find_earlier(context, recipe, source, exam, rivals) or evaluate(context, recipe, source, exam, rivals)
        lines = metric_lines(result.metrics) if isinstance(result, EarlierEvaluation) else judgement_lines(result)
        report_facts(model=source.uri, metrics=result.metrics)
        if not isinstance(result, EarlierEvaluation):
            report_facts(judgement=result.judgement.as_dict(), diagnostics=[str(line) for line in result.diagnostics])
        echo(*lines, where_report(context.store, result.run_id))
        complete_versions(context.store, source, RecordedEvaluation.of(result, exam_tags(recipe, exam)))
    if logged_id(source):
        echo(f"next   {command_line('register', model=source.uri)}")
