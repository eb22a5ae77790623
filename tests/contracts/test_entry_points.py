"""MLproject, the click commands and the recipe declare the same parameters."""

from pathlib import Path

import click
import pytest
import yaml

from pipelines.__main__ import COMMANDS, main
from pipelines.commands.options import DEFAULT_RECIPE, RECIPE_PARAMETERS
from sbert_prune.recipe.files import load_recipe
from tuning.search import command as search

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
PROMISED = {
    *("recipe", "base_model", "layers", "strategy", "pooling", "nli_data", "sts_data", "nli_epochs", "sts_epochs"),
    *("nli_batch_size", "sts_batch_size", "nli_learning_rate", "sts_learning_rate", "nli_max_rows", "sts_max_rows"),
    *("max_seq_length", "seed", "registered_model", "precision", "device", "on_bad_rows"),
}


PACKAGES = dict.fromkeys(COMMANDS, "pipelines") | {"search": "tuning"}
"""The package of each command."""


def options_of(command: str) -> dict[str, click.Parameter]:
    found = search if command == "search" else main.get_command(click.Context(main), command)
    return {str(parameter.name): parameter for parameter in found.params}


def test_every_command_is_an_entry_point_and_the_other_way_round():
    assert set(ENTRY_POINTS) == set(PACKAGES)


@pytest.mark.parametrize("command", PACKAGES)
def test_an_entry_point_declares_exactly_its_commands_options(command):
    assert set(ENTRY_POINTS[command].get("parameters", {})) == set(options_of(command))


@pytest.mark.parametrize("command", PACKAGES)
def test_an_entry_point_hands_every_parameter_to_its_command(command):
    options = options_of(command)
    expected = [
        f"--{name.replace('_', '-')} {{{name}}}" if isinstance(options[name], click.Option) else f"{{{name}}}"
        for name in ENTRY_POINTS[command]["parameters"]
    ]

    line = ENTRY_POINTS[command]["command"]

    assert line == f"python -m {PACKAGES[command]} {command} " + " ".join(expected)


@pytest.mark.parametrize("command", PACKAGES)
def test_a_parameter_is_required_in_both_or_in_neither(command):
    declared = ENTRY_POINTS[command]["parameters"]

    for name, option in options_of(command).items():
        assert option.required == ("default" not in declared[name]), name


@pytest.mark.parametrize("command", PACKAGES)
def test_defaults_live_in_the_recipe_alone(command):
    for name, declared in ENTRY_POINTS[command]["parameters"].items():
        assert declared.get("default", "") == (DEFAULT_RECIPE if name == "recipe" else ""), name


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
