"""MLflow's launcher, started for real: how parameters reach a command, and what its run then shows."""

import os
import sys
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.exceptions import ExecutionException

from pipelines.__main__ import main
from pipelines.steps.context import open_store
from sbert_prune.registry.history import read_history
from sbert_prune.tracking.store import connect
from tests.pipelines.made_versions import NAME, add_version, aliases

ROOT = Path(__file__).parents[2]
AWKWARD = 'it\'s a "good"  one; $HOME `x` मराठी वाक्य'


@pytest.fixture
def launch(uri, monkeypatch, capfd):
    """Run an entry point as `mlflow run . -e ENTRY_POINT -P ... --env-manager local` does, and return its output."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)

    def run(entry_point: str, **parameters: str) -> str:
        mlflow.projects.run(str(ROOT), entry_point, parameters=parameters, env_manager="local")
        return "".join(capfd.readouterr())

    return run


def test_an_undeclared_parameter_arrives_as_it_was_given(launch, uri, tmp_path):
    path = tmp_path / f"{AWKWARD.replace('/', ' ')}.yaml"
    path.write_text("extends: quickstart\nname: from the launcher\n")

    assert "name: from the launcher" in launch("recipes", name=str(path))
    open_store_again()
    assert MlflowClient(uri).search_runs(["0"]) == []


@pytest.fixture
def launched(uri, monkeypatch) -> tuple[str, str]:
    """A store with a version, and the id of a run that `mlflow run` has opened there for the next command."""
    add_version(noise=0.05, size=80, role="reference")
    run_id = MlflowClient(uri).create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    return uri, run_id


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("recipes", 0),
        ("history --registered-model m", 0),
        ("verify", 5),
        ("history --registered-model none", 2),
        ("full --plan --layers 99", 2),
        ("promote --margin no", 2),
        ("cleanup", 0),
    ],
)
def test_what_records_nothing_leaves_no_run_of_the_launcher(launched, command, status):
    uri, run_id = launched

    assert CliRunner().invoke(main, command.split()).exit_code == status

    client = MlflowClient(uri)
    client.set_terminated(run_id)  # as the launcher does, which fails for a deleted run
    open_store_again()
    is_deleted = not command.startswith(("promote", "cleanup"))
    assert client.get_run(run_id).info.lifecycle_stage == ("deleted" if is_deleted else "active")


def open_store_again() -> None:
    with open_store():
        pass


def test_a_misspelt_parameter_is_answered_with_the_one_that_was_meant(launch, capfd):
    with pytest.raises(ExecutionException):
        launch("full", lyers="6")

    assert "Error: lyers: full has no such parameter. Did you mean layers?" in capfd.readouterr().err


def test_a_command_records_everything_on_the_run_that_the_launcher_has_filled(launch, uri):
    add_version(noise=0.05, size=80, role="reference")
    add_version(noise=0.051, size=40)

    output = launch("promote", registered_model=NAME, margin="0.010", max_size_mb="50.0", reason=AWKWARD)

    (run,) = [run for run in MlflowClient(uri).search_runs(["0"]) if run.info.run_name.startswith("promote")]
    assert "not recorded" not in output
    assert aliases(uri) == {"champion": "2"}
    assert read_history(connect(), NAME).events[-1].reason.startswith(" ".join(AWKWARD.split()))
    assert run.info.status == "FINISHED"
    assert run.data.params.items() >= {"margin": "0.010", "max_size_mb": "50.0", "stage": "Production"}.items()
    assert all(run.data.params.values())
