"""`recipes` lists the recipes and shows one, without importing anything heavy; `full` prints and writes its recipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.commands.full import full
from pipelines.commands.recipes import recipes
from sbert_prune.recipe.files import load_recipe, presets

ROOT = Path(__file__).parents[2]


def run_recipes(*arguments):
    return CliRunner().invoke(recipes, list(arguments))


def test_the_list_names_every_recipe_with_its_base_its_data_and_its_downloads():
    lines = run_recipes().output.splitlines()

    rows = {line.split()[0]: line.split(maxsplit=4) for line in lines if line.split() and line.split()[0] in presets()}
    assert set(rows) == set(presets())
    assert rows["marathi"] == [
        "marathi",
        "l3cube-pune/marathi-bert-v2",
        "Divyanshu/indicxnli:mr",
        "yours",
        "about 1,036 MB",
    ]
    assert rows["quickstart"][1:] == ["quickstart", "quickstart", "quickstart", "nothing"]
    assert all(f"  {load_recipe(name).about}" in lines for name in presets())


@pytest.mark.parametrize("arguments", [["tamil"], ["--name", "tamil"], ["--name", " tamil "]], ids=" ".join)
def test_one_recipe_is_shown_so_that_it_can_be_taken_as_a_file(tmp_path, arguments):
    shown = run_recipes(*arguments)
    (tmp_path / "mine.yaml").write_text(shown.output)

    assert shown.exit_code == 0
    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe("tamil")
    assert "sts_data=FILE" in shown.output


def test_a_file_of_ones_own_is_shown_with_what_it_extends(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: quickstart\nlayers: 3\n")

    shown = run_recipes(str(tmp_path / "mine.yaml"))

    assert "name: mine\n" in shown.output
    assert "layers: 3\n" in shown.output
    assert "base_model: quickstart\n" in shown.output


@pytest.mark.parametrize("arguments", [["marati"], ["--name", "marati"]], ids=" ".join)
def test_an_unknown_recipe_is_answered_with_a_near_name(arguments):
    shown = run_recipes(*arguments)

    assert shown.exit_code == 2
    assert "recipe=marati: no such recipe. Did you mean 'marathi'?" in shown.output


def test_nothing_heavy_is_imported_and_nothing_written(tmp_path):
    code = (
        "import sys\nfrom pipelines.__main__ import main\n"
        "for arguments in ['recipes'], ['recipes', 'marathi-paper']:\n"
        "    try: main(arguments)\n"
        "    except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'datasets', 'pyarrow', 'scipy', 'huggingface_hub', 'rich'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "name: marathi-paper" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_full_says_its_recipe_first_and_refuses_a_file_that_holds_something_else(tmp_path):
    kept = tmp_path / "mine.yaml"
    kept.write_text("dear: me\n")

    done = CliRunner().invoke(full, ["--layers", "3", "--write-recipe", str(kept)])

    assert done.exit_code == 2
    assert done.output.startswith(
        "recipe quickstart: base_model=quickstart, layers=3, strategy=drop-alternate, max_seq_length=64,"
    )
    assert f"write_recipe={kept} exists with other content." in done.output
    assert kept.read_text() == "dear: me\n"


def test_full_writes_its_recipe_before_it_begins(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pipelines.flows.full.run_full",
        lambda recipe, *_, **__: seen.append(load_recipe(str(tmp_path / "mine.yaml")) == recipe) or [],
    )

    done = CliRunner().invoke(
        full, ["--layers", "3", "--sts-epochs", "0.5", "--write-recipe", str(tmp_path / "mine.yaml")]
    )

    assert done.exit_code == 0, done.output
    assert seen == [True]
