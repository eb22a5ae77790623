"""A setting of a recipe is one field: options, parameters, digests, axes and the page of commands follow from it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from click.testing import CliRunner

from pipelines.commands.full import full
from sbert_prune.recipe.fields import SETTINGS
from sbert_prune.recipe.files import load_recipe
from tools import commands_page

ROOT = Path(__file__).parents[2]
CLASS = 'class NliSettings(TaskSettings):\n    """The settings of the NLI phase."""\n'
FIELD = """
    sharpness: Annotated[float, Varies(log=True)] = Field(
        default=0.5, gt=0, le=1, description="How sharp the labels are."
    )
"""
REPORT = """
import json
from click.testing import CliRunner
from pipelines.commands.full import full
from pipelines.commands.options import recipe_from
from tools.commands_page import page
from tuning.axes import parse_axes

recipe = recipe_from({"recipe": "quickstart", "nli_sharpness": "0.25"})
[(path, axis)] = parse_axes("nli_sharpness", recipe)
print(json.dumps({
    "help": CliRunner().invoke(full, ["--help"]).output,
    "flat": recipe.flat(),
    "settings": recipe.model_settings(),
    "digests": [recipe.digest, recipe_from({"recipe": "quickstart"}).digest],
    "references": [recipe.reference_digest, recipe_from({"recipe": "quickstart"}).reference_digest],
    "axis": [path, axis.low, axis.high, axis.whole, axis.log],
    "page": page(),
}))
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What a copy of the code, with one more field, has of that field."""
    folder = tmp_path_factory.mktemp("one-field")
    for package in ("sbert_prune", "pipelines", "tuning", "tools"):
        copytree(ROOT / package, folder / package, ignore=ignore_patterns("__pycache__", "base", "*.xz"))
    module = folder / "sbert_prune" / "recipe" / "settings.py"
    text = module.read_text()
    assert CLASS in text
    module.write_text(text.replace(CLASS, CLASS + FIELD))

    ended = subprocess.run(
        [sys.executable, "-c", REPORT],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_new_field_is_an_option_of_full_with_its_help(report):
    text = " ".join(report["help"].split())

    assert "--nli-sharpness TEXT nli: How sharp the labels are. Above 0, at most 1." in text


def test_a_new_field_is_a_parameter_of_runs_and_part_of_the_digests(report):
    assert report["flat"]["nli.sharpness"] == "0.25"
    assert report["settings"]["nli.sharpness"] == "0.25"
    assert len({*report["digests"], load_recipe("quickstart").digest}) == 3
    assert len(set(report["references"])) == 2


def test_a_new_field_is_an_axis_of_the_search_up_to_its_bound(report):
    assert report["axis"] == ["nli.sharpness", 0.0625, 1.0, False, True]


def test_a_new_field_is_described_on_the_page_of_commands(report):
    row = "| `nli_sharpness` | How sharp the labels are. | above 0, at most 1 | 0.5 | range (log) |"

    assert row in report["page"].splitlines()


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.path)
def test_every_setting_has_a_help_that_full_shows(setting):
    shown = " ".join(CliRunner().invoke(full, ["--help"], terminal_width=1000).output.split())

    assert setting.description.endswith(".")
    assert f"--{setting.parameter.replace('_', '-')} TEXT {setting.help}" in shown


def test_settings_are_those_that_a_run_has_as_parameters():
    assert set(SETTINGS) == set(load_recipe("quickstart").flat()) - {"name"}


@pytest.mark.parametrize("old", ["", "# Commands\n"], ids=["empty", "other"])
def test_a_page_that_is_not_current_is_reported_with_the_command_that_writes_it(tmp_path, monkeypatch, old):
    page = tmp_path / "commands.md"
    page.write_text(old)
    monkeypatch.setattr(commands_page, "PAGE", page)

    before, written, after = (commands_page.run(arguments) for arguments in (["--check"], [], ["--check"]))

    assert before == (
        "docs/commands.md is not what the commands have now. Run `python tools/commands_page.py`, and commit the page."
    )
    assert (written, after) == (None, None)
