"""A command that a signal ends closes its runs first."""

import os
import pty
import signal
from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from tests.commands import Started, start
from tests.pipelines.conftest import Project
from tests.pipelines.prepared import enter_terminal, ignore_hangup, log_at_once, swallow_a_signal


def training_has_begun(client: MlflowClient) -> bool:
    runs = client.search_runs(["0"], "attributes.run_name = 'train_nli' and attributes.status = 'RUNNING'")
    return any("nli/loss" in run.data.metrics for run in runs)


STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129, signal.SIGXCPU: 152}
LONG = ("--layers", "2", "--nli-epochs", "1000", "--nli-batch-size", "4")


def start_training(project: Project, prepare: Callable[[], None] = log_at_once, **environment: str) -> Started:
    """Start `full`, and wait until it trains."""
    client = MlflowClient(project.uri)
    client.search_experiments()
    command = start(project.folder, "full", *project.given, *LONG, prepare=prepare, **environment)
    command.wait_for(lambda: training_has_begun(client), every_s=0.3)
    return command


def check_left(project: Project) -> None:
    """Check that the runs are closed, no version was made, and there is a checkpoint."""
    client = MlflowClient(project.uri)
    assert {run.info.run_name: run.info.status for run in client.search_runs(["0"])} == {
        "full L2 drop-top s42": "KILLED",
        "reference L3 s42": "KILLED",
        "prune": "FINISHED",
        "train_nli": "KILLED",
    }
    assert client.search_registered_models() == []
    (checkpoint,) = (project.folder / ".sbert-prune" / "unfinished").glob("*/*/[0-9]*")
    assert (checkpoint / "position.json").is_file()


RARE = {signal.SIGHUP, signal.SIGXCPU}


@pytest.mark.parametrize(
    "sent",
    [pytest.param(sent, marks=pytest.mark.slow) if sent in RARE else sent for sent in STATUS],
    ids=[sent.name for sent in STATUS],
)
def test_a_signal_leaves_killed_runs_a_checkpoint_and_no_version(project: Project, sent: signal.Signals):
    command = start_training(project)

    command.send(sent)

    assert command.end() == STATUS[sent], command.output
    check_left(project)


def test_a_closed_terminal_leaves_killed_runs_and_a_checkpoint(project: Project):
    """The system sends SIGHUP, and writing to the terminal is an error from then on."""
    ours, theirs = pty.openpty()
    command = start_training(project, prepare=enter_terminal, TERMINAL=os.ttyname(theirs))
    os.close(theirs)

    os.close(ours)

    assert command.end() == 129, command.output
    check_left(project)


def test_nohup_stays_in_force(project: Project):
    command = start_training(project, prepare=ignore_hangup)

    command.send(signal.SIGHUP)
    command.send(signal.SIGTERM)

    assert command.end() == 143, command.output


def test_an_exit_that_was_swallowed_ends_the_command_at_the_next_step(project: Project):
    """A signal that arrives in a destructor raises an exit that Python only prints; the next step ends the command."""
    command = start(project.folder, "full", *project.given, *LONG, prepare=swallow_a_signal)

    assert command.end() == 143
    assert "Exception ignored" in command.output
    runs = MlflowClient(project.uri).search_runs(["0"])
    assert {run.info.status for run in runs if run.info.run_name != "prune"} == {"KILLED"}
