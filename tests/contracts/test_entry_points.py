"""MLproject, the click commands and the recipe declare the same parameters."""

import re
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from pipelines.__main__ import COMMANDS
from pipelines.commands.options import DEFAULT_RECIPE, RECIPE_PARAMETERS
from pipelines.commands.promote import DEFAULT_STAGE
from sbert_prune.recipe.files import load_recipe
from sbert_prune.registry.policy import Policy
from tuning.__main__ import ALL_COMMANDS, main
from tuning.settings import Aim, Limits, Settings

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
PROMISED = {
    *("recipe", "base_model", "layers", "strategy", "pooling", "nli_data", "sts_data", "nli_epochs", "sts_epochs"),
    *("nli_batch_size", "sts_batch_size", "nli_learning_rate", "sts_learning_rate", "nli_max_rows", "sts_max_rows"),
    *("max_seq_length", "seed", "registered_model", "precision", "device", "on_bad_rows"),
}


MAX_BYTES = 6000
PACKAGES = dict.fromkeys(COMMANDS, "pipelines") | {"search": "tuning"}
"""The package of each command."""

MODEL_OF_DEFAULT = load_recipe(DEFAULT_RECIPE).registered_model
DEFAULTS = {
    **{(command, "recipe"): DEFAULT_RECIPE for command in PACKAGES},
    **{(command, "registered_model"): MODEL_OF_DEFAULT for command in ("promote", "rollback", "history")},
    ("promote", "stage"): DEFAULT_STAGE,
    ("promote", "margin"): Policy().margin,
    ("search", "trials"): Settings(Aim()).trials,
}
"""The defaults of MLproject that are the command's own; with every other one, the parameter counts as not given."""


def options_of(command: str) -> dict[str, click.Parameter]:
    found = main.get_command(click.Context(main), command)
    return {str(parameter.name): parameter for parameter in found.params}


def declared(command: str) -> dict[str, dict[str, object]]:
    """Return what MLproject declares: {} for a parameter that is required."""
    parameters = ENTRY_POINTS[command].get("parameters", {})
    return {name: {} if isinstance(value, str) else value for name, value in parameters.items()}


def test_every_command_is_an_entry_point_and_the_other_way_round():
    assert set(ENTRY_POINTS) == set(PACKAGES) == set(ALL_COMMANDS)


def test_mlproject_is_short():
    assert (ROOT / "MLproject").stat().st_size < MAX_BYTES


@pytest.mark.parametrize("command", PACKAGES)
def test_an_entry_point_hands_every_parameter_to_its_command(command):
    options = options_of(command)
    expected = [
        f"--{name.replace('_', '-')} {{{name}}}" if isinstance(options[name], click.Option) else f"{{{name}}}"
        for name in declared(command)
    ]

    line = ENTRY_POINTS[command]["command"]

    assert line.split() == f"python -m {PACKAGES[command]} {command} {' '.join(expected)}".split()


@pytest.mark.parametrize("command", PACKAGES)
def test_a_required_parameter_is_declared_without_a_default_and_no_other_is(command):
    required = {name for name, option in options_of(command).items() if option.required}

    assert {name for name, value in declared(command).items() if "default" not in value} == required


@pytest.mark.parametrize(
    ("command", "name", "default"),
    [
        (command, name, value["default"])
        for command in ENTRY_POINTS
        for name, value in declared(command).items()
        if value
    ],
)
def test_a_default_of_mlproject_is_the_commands_own_and_can_be_read(command, name, default):
    assert str(default).strip()
    if (command, name) in DEFAULTS:
        assert default == DEFAULTS[command, name]
        return
    option, context = options_of(command)[name], click.Context(main)

    assert option.callback(context, option, default) == option.callback(context, option, None)


def test_full_takes_the_parameters_that_users_were_promised():
    assert set(options_of("full")) >= PROMISED


def test_promote_takes_the_parameters_that_users_were_promised():
    assert {"registered_model", "version", "stage"} <= set(options_of("promote"))


@pytest.mark.parametrize(("name", "parameter"), RECIPE_PARAMETERS.items())
def test_every_parameter_overrides_a_setting_that_the_recipe_has(name, parameter):
    if parameter.setting is None:
        assert name == "recipe"
        return

    assert parameter.setting in load_recipe(DEFAULT_RECIPE).flat()
    assert parameter.setting.replace(".", "_") == name


def sections_of(command: str) -> dict[str, list[str]]:
    """Return the options that `--help` lists, by heading."""
    text = CliRunner().invoke(main, [command, "--help"], terminal_width=200).output
    parts = re.split(r"^(\w[\w ,]*):\n", text, flags=re.MULTILINE)[1:]
    return {
        heading: re.findall(r"^  (?:-h, )?--([\w-]+)", lines, flags=re.MULTILINE)
        for heading, lines in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize("command", ["full", "sweep", "search"])
def test_a_long_help_shows_ten_options_at_most_before_the_others_under_headings(command):
    sections = sections_of(command)

    first = sections["Options"]
    assert first[-1] == "help"
    assert {"recipe", "base-model", "nli-data", "sts-data", "seed", "plan"} <= set(first[:-1])
    assert len(first) - 1 <= 10
    assert list(sections)[1:] == [
        *("More options", "Base, layers and run", "NLI phase", "STS phase", "Distillation", "Evaluation")
    ]


@pytest.mark.parametrize("command", PACKAGES)
def test_the_help_shows_every_option_once(command):
    shown = [name.replace("-", "_") for names in sections_of(command).values() for name in names]

    options = [name for name, option in options_of(command).items() if isinstance(option, click.Option)]
    assert sorted(shown) == sorted([*options, "help"])


SHOWN_DEFAULTS = {
    **{("search", name): getattr(Settings(Aim()), name) for name in ("trials", "workers", "finalists", "sampler")},
    ("search", "screening"): Settings(Aim()).screening,
    ("search", "keep_models"): Limits().keep_models,
    ("full", "recipe"): DEFAULT_RECIPE,
    ("promote", "stage"): DEFAULT_STAGE,
    ("promote", "margin"): Policy().margin,
    ("history", "registered_model"): MODEL_OF_DEFAULT,
}


@pytest.mark.parametrize(("place", "default"), SHOWN_DEFAULTS.items(), ids=str)
def test_a_default_in_the_help_is_the_one_that_counts(place, default):
    assert options_of(place[0])[place[1]].default_text == str(default)


def test_search_takes_the_parameters_that_users_were_promised():
    promised = {
        "trials",
        "workers",
        "storage",
        "keep_models",
        "max_gb",
        "rebuild",
        "max_size_mb",
        "max_latency_ms",
        "plan",
        "layers",
    }

    assert promised <= set(options_of("search"))
