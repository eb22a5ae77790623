"""`cleanup` lists what is not needed, and deletes it on request only; a run that would not fit the disk fails early."""

import re
import shutil

from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main
from tests.pipelines.conftest import Project
from tests.small_disk import small_disk


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status, result.output
    return result.output


def model_in(output: str) -> str:
    match = re.search(r"^model\s+models:/(\S+)", output, re.MULTILINE)
    assert match is not None
    return match[1]


def test_models_that_no_version_needs_are_listed_and_deleted_with_their_files(project: Project):
    registered = model_in(run("prune", "--layers", "2"))
    unneeded = model_in(run("prune", "--layers", "1"))
    run("register", "--model", f"models:/{registered}")
    folders = {model: project.folder / "mlruns" / "0" / "models" / model for model in (registered, unneeded)}
    size = sum(path.stat().st_size for path in folders[unneeded].rglob("*") if path.is_file()) / 1e6

    assert "nothing to delete; 1 younger than 24 hours stays" in run("cleanup")
    output = run("cleanup", "--older-than-hours", "0")
    assert unneeded in output
    assert registered not in output
    assert f"1 of {size:,.1f} MB would be deleted; nothing was deleted" in output
    assert folders[unneeded].exists()

    assert f"1 of {size:,.1f} MB deleted" in run("cleanup", "--older-than-hours", "0", "--apply", "true")

    assert not folders[unneeded].exists()
    assert {model.model_id for model in MlflowClient(project.uri).search_logged_models(["0"])} == {registered}
    assert "nothing to delete" in run("cleanup", "--older-than-hours", "0")
    run("verify")


def test_a_model_that_is_not_ours_stays(project: Project):
    client = MlflowClient(project.uri)
    foreign = client.create_logged_model("0", "theirs", client.create_run("0").info.run_id).model_id

    assert "nothing to delete" in run("cleanup", "--older-than-hours", "0", "--apply", "true")
    assert client.get_logged_model(foreign).model_id == foreign


def test_unfinished_work_that_no_command_uses_is_deleted(project: Project):
    MlflowClient(project.uri).search_experiments()
    unfinished = project.folder / ".sbert-prune" / "unfinished" / "ab12" / "cd34" / "000000007"
    unfinished.mkdir(parents=True)
    (unfinished / "tensors.safetensors").write_bytes(b"x" * 2_000_000)

    assert "1 of 2.0 MB would be deleted" in run("cleanup", "--older-than-hours", "0")
    run("cleanup", "--older-than-hours", "0", "--apply", "true")

    assert not (project.folder / ".sbert-prune").exists()


def test_a_run_that_would_not_fit_the_disk_fails_before_it_begins(project: Project, monkeypatch):
    with small_disk(project.folder / "disk", megabytes=20) as disk:
        monkeypatch.chdir(disk)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk / 'mlflow.db'}")

        output = run("full", "--layers", "6", *project.data, status=2)

        assert re.search(
            r"disk: 2\d MB are free on its disk, and making 6 layers of quickstart takes at least \d+ MB", output
        ), output
        assert not list(disk.iterdir())
        assert shutil.disk_usage(disk).used == 0
