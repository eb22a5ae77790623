"""What nobody needs is told with its megabytes, and deleted on request alone; a command that would not fit says so before it begins."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main
from tests.pipelines.conftest import Project


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status, result.output
    return result.output


def model_in(output: str) -> str:
    found = re.search(r"^model\s+models:/(\S+)", output, re.MULTILINE)
    assert found is not None
    return found[1]


def test_models_that_no_version_holds_are_told_and_go_with_their_bytes(project: Project):
    kept = model_in(run("prune", "--layers", "2"))
    loose = model_in(run("prune", "--layers", "1"))
    run("register", "--model", f"models:/{kept}")
    folders = {model: project.folder / "mlruns" / "0" / "models" / model for model in (kept, loose)}
    size = sum(path.stat().st_size for path in folders[loose].rglob("*") if path.is_file()) / 1e6

    assert "nothing that could go; 1 younger than 24 hours stays" in run("cleanup")
    told = run("cleanup", "--older-than-hours", "0")
    assert loose in told
    assert kept not in told
    assert f"1 of {size:,.1f} MB would go; nothing was deleted" in told
    assert folders[loose].exists()

    assert f"1 of {size:,.1f} MB deleted" in run("cleanup", "--older-than-hours", "0", "--apply", "true")

    assert not folders[loose].exists()
    assert {model.model_id for model in MlflowClient(project.uri).search_logged_models(["0"])} == {kept}
    assert "nothing that could go" in run("cleanup", "--older-than-hours", "0")
    run("verify")


def test_a_model_that_is_not_ours_stays(project: Project):
    client = MlflowClient(project.uri)
    theirs = client.create_logged_model("0", "theirs", client.create_run("0").info.run_id).model_id

    assert "nothing that could go" in run("cleanup", "--older-than-hours", "0", "--apply", "true")
    assert client.get_logged_model(theirs).model_id == theirs


def test_unfinished_work_goes_where_nobody_is_at_it(project: Project):
    MlflowClient(project.uri).search_experiments()
    left = project.folder / ".sbert-prune" / "unfinished" / "ab12" / "cd34" / "000000007"
    left.mkdir(parents=True)
    (left / "tensors.safetensors").write_bytes(b"x" * 2_000_000)

    assert "1 of 2.0 MB would go" in run("cleanup", "--older-than-hours", "0")
    run("cleanup", "--older-than-hours", "0", "--apply", "true")

    assert not left.exists()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 20 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a small disk wants root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_run_that_would_not_fit_the_disk_says_so_before_it_begins(project: Project, small_disk: Path, monkeypatch):
    monkeypatch.chdir(small_disk)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{small_disk / 'mlflow.db'}")

    told = run("full", "--layers", "6", *project.data, status=2)

    assert re.search(
        r"disk: 2\d MB are free on its disk, and making 6 layers of quickstart takes at least \d+ MB", told
    ), told
    assert not list(small_disk.iterdir())
    assert shutil.disk_usage(small_disk).used == 0
