"""`prune`: remove layers of a base, and trim its vocabulary."""

from dataclasses import replace

import click

from pipelines.commands.options import FORCE, flag, recipe_options
from pipelines.console import Command, echo, silence_libraries
from pipelines.inputs.base import check_machine, describe_pruning, find_base
from sbert_prune.inputs.data import check_texts, find_nli, find_sts, needs_texts
from sbert_prune.inputs.texts import TrainingTexts
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.system.command_line import command_line

_DATA = ("nli_data", "sts_data", "sts_score_range", "split", "keep_leaks", "on_bad_rows")
"""Parameters of the data by which a measured strategy chooses, and to which a vocabulary is trimmed."""


@click.command("prune", cls=Command)
@recipe_options(
    "base_model", "layers", "strategy", "vocabulary", "vocabulary_corpus", "pooling", "max_seq_length", *_DATA,
    "convert_pickle", "save_precision", "seed", "registered_model",
)  # fmt: skip
@flag("force", FORCE)
def prune(recipe: Recipe, force: bool) -> None:
    """Prune a base to the layers to keep, trim its vocabulary, and log it as a sentence model, not yet fine-tuned."""
    check_machine(recipe)
    inputs = replace(
        find_base(recipe), cuts=(recipe.layers.strip(),)
    )  # a single cut: only `full` trains between the cuts of a schedule
    if needs_texts(recipe):
        sts = find_sts(recipe).value
        texts = TrainingTexts(find_nli(recipe, sts, trains=False).value, sts)
        check_texts(recipe, texts)
        inputs = replace(inputs, texts=texts)
    echo(describe_pruning(inputs, recipe))

    from pipelines.steps.context import open_context
    from pipelines.steps.prune import prune
    from sbert_prune.models.saved_model import lineage_of

    silence_libraries()
    with open_context(recipe, force=force) as context:
        saved = prune(context, recipe, inputs.base, inputs.cuts[0], inputs, save_precision=recipe.save_precision)
        kept = lineage_of(saved).selection
    echo(
        f"kept layers {kept} of {kept.depth} ({inputs.strategy})",
        f"model  {saved.uri}",
        f"next   {command_line('train_nli', model=saved.uri)}",
    )
