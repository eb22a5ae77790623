"""A SQLite store that was moved or copied is reported, and adopted: it names its artifacts by absolute paths."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.doctor.store import check_tracking_store
from pipelines.steps.context import open_store
from sbert_prune.errors import TrackingError
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.adoption import adopt
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.spool import Entry, Spool
from sbert_prune.tracking.store import connect
from tests.stores import copy_store, forget_locations, made_once, migrate

ADOPT = command_line("verify", adopt="true")


@pytest.fixture
def store(tmp_path, tmp_path_factory, monkeypatch: pytest.MonkeyPatch):
    """A folder with a store that has a run and an artifact."""
    folder = tmp_path / "here"
    copy_store(made_once(tmp_path_factory, "store", migrate), folder)
    use(folder, monkeypatch)
    with open_run(connect(), "a run", {}) as run:
        run.log_text("x", "x.txt")
    return folder


def use(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    monkeypatch.chdir(folder)


def test_a_moved_store_is_adopted_with_its_artifacts_and_its_queue(store, tmp_path, monkeypatch):
    spool, (run,) = Spool(store / ".sbert-prune" / "spool", connect().uri), connect().client.search_runs(["0"])
    spool.keep(Entry(run.info.run_id, "tags", {"late": "yes"}, 0))
    spool.release()
    moved = tmp_path / "moved"
    store.rename(moved)
    use(moved, monkeypatch)

    with pytest.raises(
        TrackingError, match=f"was moved: it records its artifacts as {store}/mlruns/0, which does not exist"
    ) as caught:
        connect()

    assert f"Adopt it where it is now: {ADOPT}; or move it back to {store}." in str(caught.value)
    finding = check_tracking_store()
    assert f"{finding.found}. {finding.advice}" == str(caught.value)
    assert (finding.state, finding.command) == ("fail", ADOPT)
    (line,) = adopt()
    assert f"2 locations in {moved / 'mlflow.db'} name {moved} now, instead of {store}" in line
    assert line.endswith(f"as it was before: {moved / 'mlflow.db.before-1'}")
    assert artifact_of_the_run().is_file()
    assert artifact_of_the_run().is_relative_to(moved)
    with open_store():
        assert connect().client.get_run(run.info.run_id).data.tags["late"] == "yes"
    assert check_tracking_store().state == "ok"
    assert "there is nothing to adopt" in adopt()[0]


def test_a_moved_store_is_found_by_the_artifacts_of_any_recipe(tmp_path, monkeypatch):
    """Nothing is in the default experiment, beside which a new recipe would have its artifacts."""
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    (tmp_path / "here").mkdir()
    use(tmp_path / "here", monkeypatch)
    with open_run(connect(experiment="r"), "a run", {}) as run:
        run.log_text("x", "x.txt")
    (tmp_path / "here").rename(tmp_path / "moved")
    use(tmp_path / "moved", monkeypatch)

    with pytest.raises(TrackingError, match=r"was moved: it records its artifacts as .*/here/mlruns/"):
        connect(experiment="s")

    assert not connect_plainly().get_experiment_by_name("s")
    assert check_tracking_store("s").state == "fail"


def connect_plainly() -> MlflowClient:
    return MlflowClient(os.environ["MLFLOW_TRACKING_URI"])


def test_a_copied_store_is_adopted_only_on_purpose_and_leaves_the_original_alone(store, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    use(copy, monkeypatch)

    with pytest.raises(
        TrackingError, match=f"is a copy.*Work in {store}, or make the copy a store of its own: "
    ) as error:
        connect()

    finding = check_tracking_store()
    assert f"{finding.found}. {finding.advice}" == str(error.value)
    assert (finding.state, finding.command) == ("fail", ADOPT)
    before = (store / "mlflow.db").read_bytes()
    assert f"it is a store of its own from now on: {store} is not changed" in adopt()[1]
    assert artifact_of_the_run().is_file()
    assert artifact_of_the_run().is_relative_to(copy)
    assert (store / "mlflow.db").read_bytes() == before


def artifact_of_the_run():
    """The file of the run's artifact, where the store has it."""
    forget_locations()
    (run,) = connect().client.search_runs(["0"])
    return Path(run.info.artifact_uri, "x.txt")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("at work", "another command is at work on it .run another run"),
        ("no artifacts", "the artifacts that the store names in .* are not here. Bring the folder mlruns here"),
        ("a server", "only a SQLite store"),
    ],
)
def test_what_cannot_be_adopted_stays_as_it_is(broken, message, store, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    with ExitStack() as stack:
        if broken == "at work":
            stack.enter_context(open_run(connect(), "another run", {}))
        store.rename(moved)
        use(moved, monkeypatch)
        if broken == "no artifacts":
            shutil.rmtree(moved / "mlruns")
        if broken == "a server":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        before = (moved / "mlflow.db").read_bytes()

        with pytest.raises(TrackingError, match=message):
            adopt()

        assert (moved / "mlflow.db").read_bytes() == before
        assert not list(moved.glob("*.before-*"))
        moved.rename(store)
        use(store, monkeypatch)


def test_a_store_that_is_used_from_another_folder_works(tmp_path, monkeypatch):
    """MLflow puts the artifacts where the first command ran."""
    for place in ("work", "far"):
        (tmp_path / place).mkdir()
    use(tmp_path / "work", monkeypatch)
    connect()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'far' / 'mlflow.db'}")
    with open_run(connect(), "a run without artifacts", {}):
        pass

    connect()


def test_artifacts_in_another_place_on_purpose_work(store, tmp_path, monkeypatch):
    connect().client.create_experiment("elsewhere", artifact_location=str(tmp_path / "far" / "away"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")

    with open_run(connect(), "a run", {}) as run:
        run.log_text("x", "x.txt")

    assert list((tmp_path / "far" / "away").rglob("x.txt"))
    connect()
