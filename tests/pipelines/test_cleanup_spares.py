"""`cleanup` does not delete what a version needs, what is in use, and what may belong to another store."""

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
from sbert_prune.tracking.runs import open_run, start_run
from sbert_prune.tracking.store import HEARTBEAT, Store, connect
from tests.commands import start
from tests.pipelines.conftest import Project
from tests.pipelines.test_cleanup import run

LEFT = "kept, although a killed or failed command left it unregistered"
NOW = ("cleanup", "--apply", "true", "--older-than-hours", "0")


def log(store: Store, run_id: str) -> LoggedModel:
    """Log a model of one file."""
    model_id = store.client.create_logged_model("0", "x", run_id).model_id
    add_file(store, model_id, "weights", "heavy")
    return store.client.finalize_logged_model(model_id, "READY")


def unneeded_model(store: Store) -> LoggedModel:
    """Log a model as `prune` does, which no version needs."""
    with open_run(store, "prune", {"step": "prune"}) as run:
        return log(store, run.run_id)


def orphan(store: Store) -> LoggedModel:
    """Log a model as a `register` does that was killed since."""
    process = Process.current()
    dead = Heartbeat(datetime.now(UTC), "here", Process(process.machine, process.pid, process.started_ms - 10_000))
    run = store.client.create_run("0", tags={"sbert_prune.step": "register", HEARTBEAT: str(dead)}, run_name="dead")
    return log(store, run.info.run_id)


def failed(store: Store) -> LoggedModel:
    """Log a model as a `register` does that failed and could not delete it."""
    run = start_run(store, "register", {"step": "register"})
    model = log(store, run.run_id)
    run.end("FAILED")
    return model


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


@pytest.mark.parametrize("make", [unneeded_model, orphan, failed])
def test_a_model_that_a_version_needs_stays_however_it_names_it(project: Project, make):
    store = connect()
    needed = {way: make(store) for way in WAYS}
    for way, name_model in WAYS.items():
        name_model(store.client, needed[way])
    unneeded = make(store)

    output = run(*NOW)

    assert {way for way, model in needed.items() if is_whole(model)} == set(WAYS), output
    assert not is_whole(unneeded), output
    remaining = {model.model_id for model in store.client.search_logged_models(["0"])}
    assert remaining == {model.model_id for model in needed.values()}


@pytest.mark.parametrize("make", [unneeded_model, orphan, failed])
@pytest.mark.parametrize("place", ["file://{models}", "models:/gone/1"])
def test_a_version_that_may_need_any_model_keeps_all(project: Project, make, place: str):
    store = connect()
    named(store.client, "vague", "anywhere")
    place = place.format(models=project.folder / "mlruns" / "0" / "models")
    with create_engine(project.uri).begin() as database:
        database.execute(text("UPDATE model_versions SET storage_location = :place"), {"place": place})
    model = make(store)

    run(*NOW)

    assert is_whole(model)


def test_the_model_of_a_running_step_stays(project: Project):
    store = connect()
    with open_run(store, "register", {"step": "register"}) as running:
        model = log(store, running.run_id)
        output = run(*NOW)

    assert "nothing to delete" in output
    assert is_whole(model)
    assert "1 of 0.0 MB deleted" in run(*NOW)


@pytest.mark.parametrize(("make", "line"), [(unneeded_model, "1 of 0.0 MB stays"), (orphan, LEFT), (failed, LEFT)])
def test_a_copied_store_does_not_delete_the_files_of_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make, line: str, make_project
):
    original, copy = make_project(tmp_path / "original"), tmp_path / "copy"
    monkeypatch.chdir(original.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", original.uri)
    model = make(connect())
    shutil.copytree(original.folder, copy)
    (original.folder / "mlflow.db").rename(
        original.folder / "renamed.db"
    )  # otherwise the copy is recognised as such and refused
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy / 'mlflow.db'}")

    output = run(*NOW)

    assert is_whole(model), output
    assert (
        f"{line}, as its files are outside of {copy}, the folder of the store, and may belong to another store: "
        f"{model.model_id}\n" in output
    )
    assert [logged.model_id for logged in connect().client.search_logged_models(["0"])] == [model.model_id]


def test_unfinished_work_that_another_command_uses_is_reported_as_in_use(project: Project):
    connect()
    folder = project.folder / ".sbert-prune" / "unfinished"
    for name in ("ab12", "cd34"):
        (folder / name / "step").mkdir(parents=True)
        (folder / name / "step" / "tensors").write_bytes(b"x" * 1_000_000)
    other = Unfinished(folder)
    other.claim("ab12", notify=print)

    for arguments, done in ((NOW[:1] + NOW[3:], "1 of 1.0 MB would be deleted"), (NOW, "1 of 1.0 MB deleted")):
        output = run(*arguments)
        assert done in output
        assert f"1 of 1.0 MB stays, as another command is using it: {folder / 'ab12'}\n" in output
    assert (folder / "ab12").is_dir()
    assert not (folder / "cd34").exists()

    other.release()
    assert "1 of 1.0 MB deleted" in run(*NOW)
    assert not (folder / "ab12").exists()


@pytest.mark.slow
def test_repeated_cleanups_do_not_disturb_a_running_full(project: Project):
    connect()
    recipe = (
        "--layers",
        "2",
        "--sts-epochs",
        "8",
        "--nli-epochs",
        "20",
        "--robustness",
        "0",
        "--checkpoint-minutes",
        "0",
    )
    cleanups = 0
    command = start(project.folder, "full", *recipe, *project.given)
    while command.is_running:
        run(*NOW)
        cleanups += 1
        command.process.join(0.1)  # leaves a core to the command

    assert command.end() == 0, command.output
    assert cleanups > 5
    run("verify")
    assert len(connect().client.search_model_versions("name = 'sbert-quickstart-paper'")) == 2
