"""A setting is one field, a strategy and a loss one row: options, digests, axes, documents and training follow."""

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
from tools import reference_pages

ROOT = Path(__file__).parents[2]
CLASS = 'class NliSettings(TaskSettings):\n    """The settings of the NLI phase."""\n'
FIELD = """
    sharpness: Annotated[float, Varies(log=True)] = Field(
        default=0.5, gt=0, le=1, description="How sharp the labels are."
    )
"""
STRATEGIES = '    "drop-alternate": drop_alternate,\n'
STRATEGY = '    "keep-ends": lambda num_layers, depth: (0, *range(depth - num_layers + 1, depth)),\n'
LOSSES = '        "angle": '
LOSS = """
        "absolute": Loss("the absolute error of the cosine", lambda model, settings, device: _Absolute()),
"""
LOSS_CLASS = """

class _Absolute:
    def __call__(self, embeddings, labels):
        from torch.nn.functional import cosine_similarity

        return (cosine_similarity(*embeddings) - labels).abs().mean()

    def parameters(self):
        return []
"""
SCRIPT = """
import json, sys
import sbert_prune
from click.testing import CliRunner
from pipelines.commands.full import full
from pipelines.commands.options import recipe_from
from tools.reference_pages import page
from tuning.axes import parse_axes

recipe = recipe_from({"recipe": "quickstart", "nli_sharpness": "0.25"})
[(path, axis)] = parse_axes("nli_sharpness", recipe)
variant = sbert_prune.prune(sys.argv[1], 2, strategy="keep-ends", max_seq_length=32)
scores = (0, 3, 5)
splits = ("train", "dev", "test")
pairs = {name: [(f"A {name} {score}.", f"The {name} {score}.", score) for score in scores] for name in splits}
short = {"sts_data": pairs, "sts_score_range": "0-5", "sts_epochs": 1}
variant = sbert_prune.train(variant, "quickstart-paper", phases="sts", sts_loss="absolute", **short)
print(json.dumps({
    "help": CliRunner().invoke(full, ["--help"]).output,
    "flat": recipe.flat(),
    "settings": recipe.model_settings(),
    "digests": [recipe.digest, recipe_from({"recipe": "quickstart"}).digest],
    "references": [recipe.reference_digest, recipe_from({"recipe": "quickstart"}).reference_digest],
    "axis": [path, axis.low, axis.high, axis.whole, axis.log],
    "page": page(),
    "kept": variant.lineage.kept_layers,
    "loss": variant.lineage.phases[0].settings["loss"],
}))
"""


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the code with one more setting, strategy and loss."""
    folder = tmp_path_factory.mktemp("changed")
    for package in ("sbert_prune", "pipelines", "tuning", "tools"):
        copytree(ROOT / package, folder / package, ignore=ignore_patterns("__pycache__", "base", "*.xz"))
    change(folder / "sbert_prune" / "recipe" / "settings.py", CLASS, CLASS + FIELD)
    change(folder / "sbert_prune" / "strategies.py", STRATEGIES, STRATEGIES + STRATEGY)
    losses = folder / "sbert_prune" / "losses.py"
    change(losses, LOSSES, LOSS.lstrip("\n") + LOSSES)
    losses.write_text(losses.read_text() + LOSS_CLASS)
    return folder


def change(module, before, after):
    text = module.read_text()
    assert text.count(before) == 1, f"{module.name}: the test has lost its subject"
    module.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def report(changed):
    """What the copy has of them; one process, because importing the libraries takes longer than the rest."""
    base = ROOT / "sbert_prune" / "data" / "quickstart" / "base"
    environment = os.environ | {"PYTHONPATH": str(changed)}
    command = [sys.executable, "-c", SCRIPT, str(base)]
    ended = subprocess.run(command, cwd=changed, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_new_strategy_and_a_new_loss_are_rows_that_train(report):
    assert report["kept"] == [0, 11]
    assert report["loss"] == "absolute"
    shown = " ".join(report["help"].split())
    assert "keep-ends" in shown
    assert "absolute: the absolute error of the cosine" in shown


def test_a_new_field_is_an_option_of_full_with_its_help(report):
    text = " ".join(report["help"].split())

    shown = (
        "--nli-sharpness NUMBER nli: How sharp the labels are. Above 0, at most 1. [default: the recipe's, else 0.5]"
    )
    assert shown in text


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


@pytest.fixture(scope="module")
def shown():
    """What `full --help` prints, on one line."""
    return " ".join(CliRunner().invoke(full, ["--help"], terminal_width=1000).output.split())


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.path)
def test_every_setting_has_a_help_that_full_shows(setting, shown):
    assert setting.description.endswith(".")
    default = f" [default: the recipe's, else {setting.default}]" if setting.default else ""
    assert f"--{setting.parameter.replace('_', '-')} {setting.kind} {setting.help}{default}" in shown


def test_settings_are_those_that_a_run_has_as_parameters():
    assert set(SETTINGS) == set(load_recipe("quickstart").flat()) - {"name"}


@pytest.mark.parametrize("old", ["", "# Commands\n"], ids=["empty", "other"])
@pytest.mark.parametrize("name", reference_pages.PAGES)
def test_a_page_that_is_not_current_is_reported_with_the_command_that_writes_it(tmp_path, monkeypatch, *, name, old):
    monkeypatch.setattr(reference_pages, "DOCS", tmp_path)
    reference_pages.run([])
    (tmp_path / name).write_text(old)

    before, written, after = (reference_pages.run(arguments) for arguments in (["--check"], [], ["--check"]))

    assert before == (
        f"docs/{name} is not what the code has now. Run `python tools/reference_pages.py`, and commit the page."
    )
    assert (written, after) == (None, None)
