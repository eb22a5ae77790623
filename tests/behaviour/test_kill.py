"""`full`, killed twice without a warning, ends with the model that it would have made undisturbed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.pipelines.conftest import Project, make_project

ROOT = Path(__file__).parents[2]
RECIPE = ("--layers", "2", "--nli-epochs", "25", "--sts-epochs", "8", "--checkpoint-minutes", "0")


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


def kill_at(process: "subprocess.Popen[str]", project: Project, phase: int, step: int) -> None:
    """Kill without a warning once the phase with this number, counted from 1, has a checkpoint of this optimizer step."""
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        found = unfinished(project)
        with suppress(FileNotFoundError):  # an old one goes while we look
            if len({path.parent for path in found}) >= phase and max(found, key=lambda path: path.stat().st_mtime).name >= f"{step:09}":
                break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def finish(project: Project) -> str:
    out, _ = start(project).communicate(timeout=400)
    return out


@pytest.mark.slow
def test_the_same_command_after_a_kill_makes_the_same_model(tmp_path):
    quiet, killed = make_project(tmp_path / "quiet"), make_project(tmp_path / "killed")
    finish(quiet)

    kill_at(start(killed), killed, phase=1, step=7)
    kill_at(start(killed), killed, phase=2, step=5)
    told = finish(killed)

    made, expected = (MlflowClient(project.uri).search_model_versions("name = 'sbert-quickstart'") for project in (killed, quiet))
    digests = [{(v.tags["sbert_prune.role"], v.tags["sbert_prune.model_sha256"]) for v in versions} for versions in (made, expected)]
    assert "taken up again" in told
    assert digests[0] == digests[1]
    assert len(made) == len(expected) == 2
    assert not (killed.folder / ".sbert-prune").exists()
