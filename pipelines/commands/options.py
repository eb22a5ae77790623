"""The parameters of the commands, and the settings of the recipe that they override."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import click

from pipelines.console import FIRST_HEADING, MORE_HEADING
from sbert_prune.recipe.fields import SETTINGS, Setting
from sbert_prune.recipe.files import load_recipe
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.recipe.settings import EvaluationSettings


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a command.

    Args:
        setting: The setting of the recipe that it overrides; None if it overrides none.
        help: Its help text.
        kind: The kind of value that it takes, such as INTEGER or [true|false].
        default: Its value if it is not given; "" for none, or for one that the help text explains.
        heading: The heading that a long help shows it under.
    """

    setting: str | None
    help: str
    kind: str = "TEXT"
    default: str = ""
    heading: str = MORE_HEADING


BOOLEAN = "[true|false]"
DEFAULT_RECIPE = "quickstart"

_HEADINGS = {"nli": "NLI phase", "sts": "STS phase", "distil": "Distillation", "": "Base, layers and run"}


def _of_setting(setting: Setting) -> Parameter:
    is_evaluation = setting.path in EvaluationSettings.model_fields
    heading = "Evaluation" if is_evaluation else _HEADINGS[setting.group]
    default = f"the recipe's, else {setting.default}" if setting.default else ""
    return Parameter(setting.path, setting.help, setting.kind, default, heading)


RECIPE_PARAMETERS: dict[str, Parameter] = {
    "recipe": Parameter(None, "A recipe of the package, or a .yaml file of your own.", default=DEFAULT_RECIPE),
    **{setting.parameter: _of_setting(setting) for setting in SETTINGS.values()},
}
"""`recipe`, and a parameter for each setting: nli_epochs for nli.epochs."""

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

MODELS = "a folder, a hub id, a runs:/ or models:/ URI, a version such as 3, or @champion"
RIVALS = Parameter(
    None,
    f"Models to hold against it, on the same pairs, with commas between them: is pruning worth it? Each is {MODELS}.",
)

PLAN = Parameter(None, "true prints rows, optimizer steps, time and disk space, and does nothing.")
JSON = Parameter(
    None,
    "true prints the result as one JSON object to standard output, and everything else to standard error.",
    BOOLEAN,
)

FORCE = Parameter(None, "true repeats steps that are cached for the same inputs, settings, data and code.")
KEEP_INTERMEDIATE = Parameter(
    None, "true logs the models between the steps as well, so that other commands can reuse them."
)

MODEL = Parameter(None, f"A saved sentence model: {MODELS}.")

OF_DEFAULT_RECIPE = replace(
    RECIPE_PARAMETERS["registered_model"],
    help="Name in MLflow's registry.",
    default=f"sbert-{DEFAULT_RECIPE}",
)
"""The registered model of commands that have no recipe."""

REASON = Parameter(None, "The reason, for the history.")

TRAINING = (
    "max_seq_length",
    "seed",
    "registered_model",
    "precision",
    "save_precision",
    "device",
    "on_bad_rows",
    "split",
    "keep_leaks",
    "checkpoint_minutes",
)
"""Parameters of all training steps, besides the settings of their phase."""


def settings_of(*groups: str) -> tuple[str, ...]:
    """Return the parameters of these phases."""
    return tuple(setting.parameter for setting in SETTINGS.values() if setting.group in groups)


_MAIN = frozenset(
    {
        *("recipe", "base_model", "layers", "strategy", "nli_data", "sts_data", "seed", "registered_model"),
        *("depths", "strategies", "trials", "model", "reference", "version", "stage", "plan", "json"),
    }
)
"""The parameters that a long help shows first."""


class Option(click.Option):
    """An option that shows its kind, its default and its heading in the help."""

    def __init__(self, declared: Sequence[str], *, parameter: Parameter, **settings: Any) -> None:
        """Make the option; `declared` and `settings` are click's."""
        super().__init__(declared, metavar=parameter.kind, help=parameter.help, **settings)
        self.default_text = parameter.default
        self.is_boolean = parameter.kind == BOOLEAN
        self.heading = FIRST_HEADING if self.name in _MAIN else parameter.heading

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option as the help shows it, and its help text with its default."""
        record = super().get_help_record(ctx)
        if record is None or not self.default_text:
            return record
        return record[0], f"{record[1]}  [default: {self.default_text}]"


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

    return _option(name, parameter, callback=parse, required=required)


def flag(name: str, parameter: Parameter) -> Callable[[_Command], _Command]:
    """Add an option to a command that is true or false: False if not given, true if given without a value."""
    return _option(name, replace(parameter, kind=BOOLEAN), callback=_noted)


def json_option(command: _Command) -> _Command:
    """Add the option `json` to a command, which passes its result to `report_facts`."""
    return _option("json", JSON, callback=_noted, expose_value=False)(command)


def _noted(context: click.Context, option: click.Parameter, value: str | None) -> bool:
    """Return whether an option is true, and note it where the command's group finds it, such as AS_JSON."""
    is_true = context.meta[f"sbert_prune.{option.name}"] = _true_or_false(context, option, value)
    return is_true


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

    return _option(name, replace(parameter, kind="NUMBER"), callback=parse)


def _option(name: str, parameter: Parameter, **settings: Any) -> Callable[[_Command], _Command]:
    return click.option(f"--{name.replace('_', '-')}", name, cls=Option, parameter=parameter, **settings)


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
