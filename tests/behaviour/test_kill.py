"""`full`, killed without a warning, ends with what it would have left undisturbed."""

import os
import random
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


def start(project: Project, recipe: tuple[str, ...] = RECIPE) -> "subprocess.Popen[str]":
    temporary = project.folder / "tmp"
    temporary.mkdir(exist_ok=True)
    arguments = ("full", *recipe, "--nli-data", str(project.nli), "--sts-data", str(project.sts))
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": project.uri, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def unfinished(project: Project) -> set[Path]:
    return set((project.folder / ".sbert-prune" / "unfinished").glob("*/*/[0-9]*"))


def kill_at(process: "subprocess.Popen[str]", project: Project, phase: int, step: int) -> None:
    """Kill without a warning once the phase with this number, counted from 1, has a checkpoint of this optimizer step."""
    deadline = time.monotonic() + 240
    seen: set[Path] = set()  # the checkpoints of a phase go when it is done
    while process.poll() is None and time.monotonic() < deadline:
        found = unfinished(project)
        seen |= {path.parent for path in found}
        with suppress(FileNotFoundError, ValueError):  # an old one goes while we look
            if len(seen) >= phase and max(found, key=lambda path: path.stat().st_mtime).name >= f"{step:09}":
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


SHORT = ("--layers", "2", "--sts-epochs", "2", "--robustness", "20", "--checkpoint-minutes", "0")
KILLS = 20


def left_in(project: Project) -> dict[str, object]:
    """What users and disks see of a store."""
    client = MlflowClient(project.uri)
    versions = client.search_model_versions("name = 'sbert-quickstart'")
    told = ("role", "model_sha256", "fingerprint", "kept_layers", "variant_key", "sts_dev_digest")
    folders = [path.name for path in (project.folder / "mlruns" / "0" / "models").iterdir() if any(path.iterdir())]
    return {
        "versions": sorted((v.version, *(v.tags[f"sbert_prune.{key}"] for key in told), sorted(v.tags)) for v in versions),
        "scores": [{key: v.tags[key] for key in v.tags if key.startswith(("sts_", "quality/"))} for v in versions],
        "models": len(client.search_logged_models(["0"])),
        "folders of models": len(folders),
        "open runs": len(client.search_runs(["0"], "attributes.status = 'RUNNING'")),
        "unfinished": (project.folder / ".sbert-prune").exists(),
        "temporary files": [path.name for path in (project.folder / "tmp").iterdir()],
    }


@pytest.mark.slow
def test_two_commands_at_once_make_one_variant(tmp_path):
    project = make_project(tmp_path)

    told = [process.communicate(timeout=400)[0] for process in [start(project, SHORT), start(project, SHORT)]]

    assert any("another command makes the very same variant now" in text for text in told), told
    assert sum(text.count("step train_sts") for text in told) == 2, "the reference once, the variant once"
    assert all("models:/sbert-quickstart/2" in text for text in told), told
    left = left_in(project)
    assert len(left["versions"]) == 2
    assert (left["open runs"], left["unfinished"]) == (0, False)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_at_random_moments_it_leaves_what_it_leaves_undisturbed(tmp_path):
    draw = random.Random(7)
    quiet, began = make_project(tmp_path / "quiet"), time.monotonic()
    start(quiet, SHORT).communicate(timeout=400)
    whole_s, expected = time.monotonic() - began, left_in(quiet)
    assert len(expected["versions"]) == 2
    survivors, closed = [make_project(tmp_path / "0")], 0

    for _ in range(KILLS):
        process = start(survivors[-1], SHORT)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=draw.uniform(0.1, 0.6) * whole_s)
        if process.poll() is None:
            process.kill()
            process.communicate()
        else:
            survivors.append(make_project(tmp_path / str(len(survivors))))
    told, _ = start(survivors[-1], SHORT).communicate(timeout=400)

    for project in survivors:
        assert left_in(project) == expected, told
        closed += len(MlflowClient(project.uri).search_runs(["0"], "attributes.status = 'KILLED'"))
    assert closed > 0
