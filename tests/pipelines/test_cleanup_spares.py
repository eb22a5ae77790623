"""What must not be deleted stays: what a version needs however it names it, what is under way, and what another store's records name."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from sqlalchemy import create_engine, text

from pipelines.steps.checkpointing import Unfinished
from sbert_prune.system.processes import Process
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.logged_models import add_file
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import HEARTBEAT, Store, connect
from tests.commands import start
from tests.pipelines.conftest import Project
from tests.pipelines.test_cleanup import run

LEFT = "kept, although a killed command left it unregistered"
NOW = ("cleanup", "--apply", "true", "--older-than-hours", "0")


def log(store: Store, run_id: str) -> LoggedModel:
    """A model of one file."""
    model_id = store.client.create_logged_model("0", "x", run_id).model_id
    add_file(store, model_id, "weights", "heavy")
    return store.client.finalize_logged_model(model_id, "READY")


def loose(store: Store) -> LoggedModel:
    """One that `prune` has logged, and no version holds."""
    with open_run(store, "prune", {"step": "prune"}) as run:
        return log(store, run.run_id)


def orphan(store: Store) -> LoggedModel:
    """One that a `register` has logged that was killed since."""
    own = Process.own()
    dead = Heartbeat(datetime.now(UTC), "here", Process(own.machine, own.pid, own.since - 10_000))
    run = store.client.create_run("0", tags={"sbert_prune.step": "register", HEARTBEAT: str(dead)}, run_name="dead")
    return log(store, run.info.run_id)


def is_whole(model: LoggedModel) -> bool:
    return (Path(model.artifact_location) / "weights").is_file()


def copied(client: MlflowClient, model: LoggedModel) -> None:
    client.create_registered_model("first")
    client.create_model_version("first", f"models:/{model.model_id}", model_id=model.model_id)
    client.copy_model_version("models:/first/1", "copied")
    client.delete_registered_model("first")


def named(client: MlflowClient, name: str, source: str) -> None:
    client.create_registered_model(name)
    client.create_model_version(name, source)


def linked(client: MlflowClient, model: LoggedModel) -> None:
    link = Path(model.artifact_location).parents[2] / "link"
    link.symlink_to(Path(model.artifact_location) / "weights")
    named(client, "linked", str(link))


WAYS = {
    "copy of a version": copied,
    "path": lambda client, model: named(client, "path", model.artifact_location),
    "URI of a file": lambda client, model: named(client, "file", f"file://{model.artifact_location}"),
    "path inside": lambda client, model: named(client, "inside", f"{model.artifact_location}/weights"),
    "link": linked,
    "run": lambda client, model: named(client, "run", f"runs:/{model.source_run_id}/x"),
}
"""How a version may name what it needs, without a tag of ours."""


@pytest.mark.parametrize("make", [loose, orphan])
def test_what_a_version_needs_stays_however_it_names_it(project: Project, make):
    store = connect()
    held = {way: make(store) for way in WAYS}
    for way, hold in WAYS.items():
        hold(store.client, held[way])
    unheld = make(store)

    told = run(*NOW)

    assert {way for way, model in held.items() if is_whole(model)} == set(WAYS), told
    assert not is_whole(unheld), told
    left = {model.model_id for model in store.client.search_logged_models(["0"])}
    assert left == {model.model_id for model in held.values()}


@pytest.mark.parametrize("make", [loose, orphan])
@pytest.mark.parametrize("place", ["file://{models}", "models:/gone/1"])
def test_a_version_that_may_need_anything_holds_everything(project: Project, make, place: str):
    store = connect()
    named(store.client, "vague", "anywhere")
    place = place.format(models=project.folder / "mlruns" / "0" / "models")
    with create_engine(project.uri).begin() as database:
        database.execute(text("UPDATE model_versions SET storage_location = :place"), {"place": place})
    model = make(store)

    run(*NOW)

    assert is_whole(model)


def test_the_model_of_a_step_under_way_stays(project: Project):
    store = connect()
    with open_run(store, "register", {"step": "register"}) as under_way:
        model = log(store, under_way.run_id)
        told = run(*NOW)

    assert "nothing that could go" in told
    assert is_whole(model)
    assert "1 of 0.0 MB deleted" in run(*NOW)


@pytest.mark.parametrize(("make", "line"), [(loose, "1 of 0.0 MB stays"), (orphan, LEFT)])
def test_a_copied_store_leaves_the_bytes_of_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make, line: str, make_project):
    original, copy = make_project(tmp_path / "original"), tmp_path / "copy"
    monkeypatch.chdir(original.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", original.uri)
    model = make(connect())
    shutil.copytree(original.folder, copy)
    (original.folder / "mlflow.db").rename(original.folder / "renamed.db")  # else the copy is told as such, and nothing begins
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy / 'mlflow.db'}")

    told = run(*NOW)

    assert is_whole(model), told
    assert f"{line}, as the bytes lie outside of {copy}, where the store is, and may be another store's: {model.model_id}\n" in told
    assert [found.model_id for found in connect().client.search_logged_models(["0"])] == [model.model_id]


def test_unfinished_work_that_another_command_is_at_is_told_as_in_use(project: Project):
    connect()
    folder = project.folder / ".sbert-prune" / "unfinished"
    for name in ("ab12", "cd34"):
        (folder / name / "step").mkdir(parents=True)
        (folder / name / "step" / "tensors").write_bytes(b"x" * 1_000_000)
    other = Unfinished(folder)
    other.claim("ab12", notify=print)

    for arguments, done in ((NOW[:1] + NOW[3:], "1 of 1.0 MB would go"), (NOW, "1 of 1.0 MB deleted")):
        told = run(*arguments)
        assert done in told
        assert f"1 of 1.0 MB stays, as another command is at it: {folder / 'ab12'}\n" in told
    assert (folder / "ab12").is_dir()
    assert not (folder / "cd34").exists()

    other.release()
    assert "1 of 1.0 MB deleted" in run(*NOW)
    assert not (folder / "ab12").exists()


@pytest.mark.slow
def test_cleanup_again_and_again_does_a_running_full_no_harm(project: Project):
    connect()
    recipe = ("--layers", "2", "--sts-epochs", "8", "--nli-epochs", "20", "--robustness", "0", "--checkpoint-minutes", "0")
    cleanups = 0
    command = start(project.folder, "full", *recipe, *project.given)
    while command.is_running:
        run(*NOW)
        cleanups += 1
        command.process.join(0.1)  # a core is the other's

    assert command.end() == 0, command.output
    assert cleanups > 5
    run("verify")
    assert len(connect().client.search_model_versions("name = 'sbert-quickstart'")) == 2
