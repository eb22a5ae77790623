"""A disk that is full, or refuses to be written, while a command records: what does not need it is recorded at once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from sentence_transformers import SentenceTransformer
from sqlalchemy import create_engine, text

from pipelines.__main__ import main
from sbert_prune.errors import TrackingError
from sbert_prune.models.sentence import load_saved, with_pooling
from sbert_prune.models.sources import locate_base
from sbert_prune.tracking.logged_models import delete_files, has_bytes, put_back
from sbert_prune.tracking.store import connect
from tests.pipelines.conftest import Project
from tests.small_disk import filled, read_only, small_disk

pytestmark = pytest.mark.service


@pytest.fixture(autouse=True)
def _only_later(monkeypatch: pytest.MonkeyPatch):
    """The disk is found in order when a command begins, and fills afterwards."""
    monkeypatch.setattr("pipelines.steps.context.check_artifacts", lambda *_arguments, **_named: None)


@pytest.fixture
def artifacts(project: Project) -> Iterator[Path]:
    """A disk of 20 MB, where the project's store keeps its artifacts. The store itself and the queue are elsewhere."""
    with small_disk(project.folder / "mlruns", megabytes=20) as disk:
        yield disk


def registering(project: Project) -> tuple[str, ...]:
    """Save a sentence model and return the command that registers it."""
    folder = project.folder / "sentence-model"
    encoder = load_saved(locate_base(str(project.base)).checkpoint)
    with_pooling(encoder, "mean", max_seq_length=32).save(str(folder))
    return "register", "--model", str(folder), "--registered-model", "sbert-small"


FAULTS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "full": partial(filled, leaving=0),
    "read-only": read_only,
}


def done(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status, result.output
    return result


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_ends_finished_where_only_its_artifacts_cannot_be_stored(project: Project, artifacts: Path, fault: str):
    client = MlflowClient(project.uri)
    evaluate = ("evaluate", "--model", str(project.base), "--sts-data", str(project.sts), "--robustness", "0")

    with FAULTS[fault](artifacts):
        away = done(*evaluate, status=3)
        (run,) = client.search_runs(["0"])
        at_once = (run.info.status, "sts_test/spearman_cosine" in run.data.metrics)
        still_away = done("history", status=2)
    back = done("cleanup")

    assert "the artifact store does not accept files" in away.output
    assert at_once == ("FINISHED", True)
    assert "closed as KILLED" not in still_away.output + back.output
    assert "that an earlier command could not record: delivered now" in back.output
    assert {"report.md"} <= {item.path for item in client.list_artifacts(run.info.run_id)}
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    assert not (project.folder / ".sbert-prune").exists()


@pytest.mark.parametrize("fault", ["full but for 40 kB", "read-only"])
def test_a_model_that_cannot_be_stored_leaves_nothing_and_the_next_try_registers_it(
    project: Project, artifacts: Path, fault: str
):
    client = MlflowClient(project.uri)
    register = registering(project)

    with read_only(artifacts) if fault == "read-only" else filled(artifacts, leaving=40_000):
        failed = [done(*register, status=2) for _ in range(2)]
        models, folders = client.search_logged_models(["0"]), list(artifacts.rglob("m-*"))
    done(*register)

    assert all("The model could not be logged" in result.output for result in failed)
    assert (models, folders) == ([], [])
    assert len(client.search_logged_models(["0"])) == len(client.search_model_versions("")) == 1
    assert len(list(artifacts.rglob("m-*"))) == 1
    assert "every version matches its record" in done("verify").output


def test_files_that_cannot_all_be_put_back_are_not_taken_for_a_model(project: Project, artifacts: Path):
    command = registering(project)
    done(*command)
    store, folder = connect(), Path(command[2])
    (logged,) = store.client.search_logged_models(["0"])
    delete_files(store, logged.model_id)

    with filled(artifacts, leaving=40_000), pytest.raises(TrackingError, match="could not be stored again"):
        put_back(store, logged.model_id, SentenceTransformer(str(folder)), folder)
    after_failure = has_bytes(store, logged.model_id)
    put_back(store, logged.model_id, SentenceTransformer(str(folder)), folder)

    assert (after_failure, has_bytes(store, logged.model_id)) == (False, True)


def refuse(statement: str, table: str, uri: str) -> None:
    """Let the database refuse to change a table, as it does when its disk is full."""
    with create_engine(uri).begin() as database:
        database.execute(
            text(
                f"CREATE TRIGGER full_{statement}_{table} BEFORE {statement} ON {table} "
                "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
            )
        )


def allow(statement: str, table: str, uri: str) -> None:
    with create_engine(uri).begin() as database:
        database.execute(text(f"DROP TRIGGER full_{statement}_{table}"))


def test_a_version_that_cannot_be_created_leaves_no_model(project: Project):
    client = MlflowClient(project.uri)
    register = registering(project)
    refuse("INSERT", "model_versions", project.uri)

    failed = done(*register, status=2)
    models, folders = client.search_logged_models(["0"]), list((project.folder / "mlruns").rglob("m-*"))
    allow("INSERT", "model_versions", project.uri)
    done(*register)

    assert "No version of sbert-small could be registered" in failed.output
    assert (models, folders) == ([], [])
    assert len(client.search_logged_models(["0"])) == len(client.search_model_versions("")) == 1


def test_a_model_that_could_not_be_deleted_either_is_deleted_by_the_next_command(project: Project):
    client = MlflowClient(project.uri)
    register = registering(project)
    refuse("UPDATE", "logged_models", project.uri)

    done(*register, status=2)
    (half,) = client.search_logged_models(["0"])
    allow("UPDATE", "logged_models", project.uri)
    following = done("verify")

    assert f"because a killed or failed command left them unregistered: {half.model_id}" in following.output
    assert client.search_logged_models(["0"]) == []
    assert not list((project.folder / "mlruns").rglob("m-*"))
