"""A command that a signal ends closes its runs first."""

import signal

import pytest
from mlflow import MlflowClient

from tests.commands import start
from tests.pipelines.conftest import Project
from tests.pipelines.prepared import log_at_once, swallow_a_signal


def training_has_begun(client: MlflowClient) -> bool:
    runs = client.search_runs(["0"], "attributes.run_name = 'train_nli' and attributes.status = 'RUNNING'")
    return any("nli/loss" in run.data.metrics for run in runs)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_leaves_killed_runs_a_checkpoint_and_no_version(project: Project, sent, status):
    client = MlflowClient(project.uri)
    client.search_experiments()
    options = ("--layers", "2", "--nli-epochs", "1000", "--nli-batch-size", "4")
    command = start(project.folder, "full", *project.given, *options, prepare=log_at_once)
    command.wait_for(lambda: training_has_begun(client), every_s=0.3)

    command.send(sent)

    assert command.end() == status, command.output
    assert {run.info.run_name: run.info.status for run in client.search_runs(["0"])} == {
        "full L2 drop-top s42": "KILLED",
        "reference L3 s42": "KILLED",
        "prune": "FINISHED",
        "train_nli": "KILLED",
    }
    assert client.search_registered_models() == []
    (checkpoint,) = (project.folder / ".sbert-prune" / "unfinished").glob("*/*/[0-9]*")
    assert (checkpoint / "position.json").is_file()


def test_an_exit_that_was_swallowed_ends_the_command_at_the_next_step(project: Project):
    """A signal that arrives in a destructor raises an exit that Python only prints; the next step ends the command."""
    options = ("--layers", "2", "--nli-epochs", "1000", "--nli-batch-size", "4")

    command = start(project.folder, "full", *project.given, *options, prepare=swallow_a_signal)

    assert command.end() == 143
    assert "Exception ignored" in command.output
    runs = MlflowClient(project.uri).search_runs(["0"])
    assert {run.info.status for run in runs if run.info.run_name != "prune"} == {"KILLED"}
