"""`full`, killed again and again without a warning, ends with the model that it would have made undisturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.pipelines.conftest import Project, make_project

ROOT = Path(__file__).parents[2]
RECIPE = ("--layers", "2", "--phases", "nli,distil,sts", "--sts-distillation", "0.1", "--checkpoint-minutes", "0")


def start(project: Project) -> "subprocess.Popen[str]":
    arguments = ("full", *RECIPE, "--nli-data", str(project.nli), "--sts-data", str(project.sts))
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": project.uri},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def unfinished(project: Project) -> set[Path]:
    return set((project.folder / ".sbert-prune" / "unfinished").glob("*/[0-9]*"))


def kill_after(process: "subprocess.Popen[str]", project: Project, checkpoints: int) -> None:
    """Wait for so many new checkpoints, and a random moment more."""
    before, deadline = unfinished(project), time.monotonic() + 240
    while len(unfinished(project) - before) < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    seen = unfinished(project)
    while checkpoints > 0 and process.poll() is None and time.monotonic() < deadline:
        now = unfinished(project)
        checkpoints, seen = checkpoints - len(now - seen), now
        time.sleep(0.02)
    time.sleep(random.Random(checkpoints).random())
    process.send_signal(signal.SIGKILL)
    process.communicate()


def finish(project: Project) -> str:
    out, _ = start(project).communicate(timeout=400)
    return out


@pytest.mark.slow
def test_the_same_command_after_a_kill_makes_the_same_model(tmp_path):
    quiet, killed = make_project(tmp_path / "quiet"), make_project(tmp_path / "killed")
    finish(quiet)

    for checkpoints in (3, 9, 17):
        kill_after(start(killed), killed, checkpoints)
    told = finish(killed)

    made, expected = (MlflowClient(project.uri).search_model_versions("name = 'sbert-quickstart'") for project in (killed, quiet))
    digests = [{(v.tags["sbert_prune.role"], v.tags["sbert_prune.model_sha256"]) for v in versions} for versions in (made, expected)]
    assert "taken up again" in told
    assert digests[0] == digests[1]
    assert len(made) == len(expected) == 2
    assert not (killed.folder / ".sbert-prune").exists()
