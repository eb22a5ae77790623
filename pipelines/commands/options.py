"""The parameters of the commands, and the settings of the recipe that they override."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from sbert_prune.recipe.fields import SETTINGS
from sbert_prune.recipe.files import load_recipe
from sbert_prune.recipe.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a command.

    Args:
        setting: The setting of the recipe that it overrides; None if it overrides none.
        help: Its help text.
    """

    setting: str | None
    help: str


RECIPE_PARAMETERS: dict[str, Parameter] = {
    "recipe": Parameter(None, "A recipe of the package, or a .yaml file of your own."),
    **{setting.parameter: Parameter(path, setting.help) for path, setting in SETTINGS.items()},
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
