"""A command that is told to stop closes its runs on the way out."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.commands import start
from tests.pipelines.conftest import Project

ROOT = Path(__file__).parents[2]


def training_has_begun(client: MlflowClient) -> bool:
    found = client.search_runs(["0"], "attributes.run_name = 'train_nli' and attributes.status = 'RUNNING'")
    return any("nli/loss" in run.data.metrics for run in found)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_leaves_killed_runs_a_checkpoint_and_no_version(project: Project, sent, status):
    client = MlflowClient(project.uri)
    client.search_experiments()
    command = start(project.folder, "full", *project.given, "--layers", "2", "--nli-epochs", "1000", "--nli-batch-size", "4")
    command.wait_for(lambda: training_has_begun(client))

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


def test_an_exit_that_was_swallowed_is_made_up_for_at_the_next_step(project: Project):
    """A signal that arrives in a destructor raises an exit that Python only prints: the next step ends the command all the same."""
    code = (
        "import os, signal, sys\n"
        "from pipelines.__main__ import main\n"
        "from pipelines import cutting\n"
        "class Swallows:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM); [None for _ in range(1000)]\n"
        "check = cutting._check_pruned\n"
        "def told(*given):\n"
        "    Swallows()\n"
        "    return check(*given)\n"
        "cutting._check_pruned = told\n"
        "main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "full", *project.given, "--layers", "2", "--nli-epochs", "1000", "--nli-batch-size", "4"]

    done = subprocess.run(
        command, cwd=project.folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 143
    assert "Exception ignored" in done.stderr
    runs = MlflowClient(project.uri).search_runs(["0"])
    assert {run.info.status for run in runs if run.info.run_name != "prune"} == {"KILLED"}
