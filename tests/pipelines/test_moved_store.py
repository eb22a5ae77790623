"""A SQLite store that was moved or copied is reported: it names its artifacts by absolute paths."""

import os
import shutil

import pytest
from mlflow import MlflowClient

from pipelines.doctor.store import check_tracking_store
from sbert_prune.errors import TrackingError
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import connect


@pytest.fixture
def store(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """A folder with a store that has a run and an artifact."""
    folder = tmp_path / "here"
    folder.mkdir()
    use(folder, monkeypatch)
    with open_run(connect(), "a run", {}) as run:
        run.log_text("x", "x.txt")
    return folder


def use(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    monkeypatch.chdir(folder)


def test_a_moved_store_names_the_old_place_of_its_artifacts_and_a_link_repairs_it(store, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    store.rename(moved)
    use(moved, monkeypatch)

    with pytest.raises(
        TrackingError, match=f"was moved: it records its artifacts as {store}/mlruns/0, which does not exist"
    ) as caught:
        connect()

    assert f"ln -s {moved} {store}." in str(caught.value)
    finding = check_tracking_store()
    assert f"{finding.found}. {finding.advice}" == str(caught.value)
    assert (finding.state, finding.command) == ("fail", f"ln -s {moved} {store}")
    store.symlink_to(moved)
    connect()
    assert check_tracking_store().state == "ok"


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


def test_a_copied_store_does_not_write_into_the_first_ones_folder(store, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    use(copy, monkeypatch)

    with pytest.raises(TrackingError, match=f"is a copy.*Work in {store}") as caught:
        connect()

    finding = check_tracking_store()
    assert f"{finding.found}. {finding.advice}" == str(caught.value)
    assert (finding.state, finding.command) == ("fail", f"export MLFLOW_TRACKING_URI=sqlite:///{store / 'mlflow.db'}")


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
