"""A user's mistake: exit status 2, one paragraph, at once, nothing written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.__main__ import COMMANDS
from tests.in_process import call
from tuning.__main__ import ALL_COMMANDS

ROOT = Path(__file__).parents[2]


MISTAKES = [
    (["full", "--layers", "abc"], "'abc' is not a list of layers. Write indices and ranges, such as 0,2,4-7."),
    (["full", "--layers", "13"], "layers=13 cannot be kept: the encoder has 12 layers."),
    (["full", "--layers", "0,12"], "Layer 12 does not exist: the encoder has 12 layers, numbered 0-11."),
    (["full", "--layers", "3,1"], "Did you mean 1,3?"),
    (["full", "--strategy", "drop-tpo"], "Did you mean 'drop-top'?"),
    (["full", "--epocs", "3"], "epocs: full has no such parameter. Did you mean sts_epochs or nli_epochs?"),
    (["full", "--lyers", "6"], "lyers: full has no such parameter. Did you mean layers?"),
    (["history", "--x_y", "6"], "x_y: history has no such parameter. python -m pipelines history --help lists"),
    (["full", "--nli_epochs", "three"], "nli_epochs=three: input should be a valid number"),
    (["full", "--sts_epochs", "0"], "sts_epochs=0: input should be greater than 0"),
    (["full", "--pooling", "max"], "pooling=max: input should be 'mean' or 'cls'."),
    (["full", "--plan", "yes"], "plan=yes: write true or false."),
    (["compare", "--json", "nowhere", "quickstart"], "models=nowhere: there is no folder of this name"),
    (["evaluate", "--model", "2"], "There is no tracking store"),
    (["full", "--precision", "fp16"], "input should be 'auto', 'float32' or 'bfloat16'."),
    (["full", "--seed", "-1"], "seed=-1"),
    (["full", "--recipe", "quickstrat"], "Did you mean 'quickstart'?"),
    (["full", "--base-model", "nowhere"], "there is no folder of this name"),
    (["full", "--nli-data", "missing.csv"], "missing.csv does not exist."),
    (["full", "--max-seq-length", "512"], "quickstart takes at most 128 pieces."),
    (["full", "--sts-score-range", "5"], "write a range as LOW-HIGH, such as 0-5"),
    (["full", "--on-bad-rows", "drop"], "on_bad_rows=drop: input should be 'error' or 'skip'."),
    (["train_nli"], "Missing option '--model'"),
    (["evaluate", "--model", "."], "holds no config.json"),
    (["evaluate", "--model", "models:/nothing/1"], "There is no tracking store"),
    (["promote"], "There is no tracking store"),
    (["promote", "--stage", "Prodution"], "Did you mean Production?"),
    (["promote", "--version", "first"], "version=first is not the number of a version."),
    (["ful"], "Did you mean full?"),
]


@pytest.mark.parametrize(
    ("arguments", "answer"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_answered_with_what_to_do_and_writes_nothing(tmp_path, arguments, answer):
    done = call(tmp_path, *arguments)

    assert done.exit_code == 2, done.exception
    assert answer in done.stderr
    assert "Traceback" not in done.stderr
    assert "--json" not in arguments or done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path):
    done = call(tmp_path, "full", MLFLOW_TRACKING_URI="http://ann:secret@127.0.0.1:9")

    assert done.exit_code == 2
    assert "No tracking server answers at http://127.0.0.1:9" in done.stderr
    assert "secret" not in done.output


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a separate process, without settings of MLflow."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | {
        "PYTHONPATH": str(ROOT)
    }
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_process_ends_with_2_and_one_paragraph(tmp_path):
    done = run(tmp_path, "-m", "pipelines", "full", "--layers", "abc")

    assert done.returncode == 2
    assert done.stderr == "Error: 'abc' is not a list of layers. Write indices and ranges, such as 0,2,4-7.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "helps", "mistakes"),
    [
        (
            "pipelines",
            [["--help"], *([name, "--help"] for name in COMMANDS)],
            [(["full", "--layers", "abc"], "not a list of")],
        ),
        (
            "tuning",
            [["-h"], *([name, "-h"] for name in ALL_COMMANDS)],
            [
                (["search", "--rebuild", "first"], "is not the number of a version"),
                (["search", "--storage", "studies"], "storage=studies cannot be used"),
                (["search", "--storage", "sqlite:////nowhere/x.db"], "/nowhere/x.db cannot be written"),
                (["search", "--storage", "sqlite://"], "a database in memory ends with the command"),
                (["search", "--storage", "sqlite:///mlflow.db"], "is MLflow's own database"),
                (["search", "--storage", "postgresql://me@127.0.0.1:9/x"], "storage=postgresql://***@127.0.0.1:9/x"),
            ],
        ),
    ],
    ids=["pipelines", "tuning"],
)
def test_help_and_mistakes_import_nothing_heavy(tmp_path, module, helps, mistakes):
    code = (
        f"import json, sys\nfrom {module}.__main__ import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'mlflow', 'datasets', 'pyarrow', 'scipy'}\n"
        "heavy |= {'optuna'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )

    done = run(tmp_path, "-c", code, json.dumps([*helps, *(arguments for arguments, _ in mistakes)]))

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == len(helps)
    assert all(message in done.stderr for _, message in mistakes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["full", "prune", "train_nli", "train-sts", "evaluate", "register", "promote"])
def test_every_command_explains_itself(tmp_path, command):
    done = call(tmp_path, command, "--help")

    assert done.exit_code == 0
    assert "Usage: python -m pipelines" in done.stdout
