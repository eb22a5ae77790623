"""A store that fails never stops training: entries are queued, and delivered by this command or the next one."""

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from mlflow import MlflowClient
from sqlalchemy import Engine, Pool, create_engine, event, text

from pipelines.__main__ import main
from pipelines.steps.context import deliver_inherited, deliver_remaining, tidy_up
from sbert_prune.system.processes import Process
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.runs import open_run, start_run
from sbert_prune.tracking.spool import Entry
from sbert_prune.tracking.store import HEARTBEAT, connect
from tests.pipelines.faults import (
    check_what_came_late,
    evaluate_while,
    expected,
    history,
    log_everything,
    no_pause,
    read_everything,
)

__all__ = ["no_pause"]


@pytest.fixture
def impatient() -> Iterator[None]:
    """Make MLflow wait 0.1 s for a locked SQLite file, instead of 20 s."""

    def shorten(_connection, _cursor, statement, parameters, *_):
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), parameters

    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """A SQLite store that MLflow has initialised, which takes seconds."""
    path = tmp_path_factory.mktemp("fresh") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def folder(fresh: Path, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a SQLite store, the current one."""
    shutil.copy(fresh, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return tmp_path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def read_only() -> Iterator[None]:
    """Let SQLite refuse to write, as if the file were read-only; file permissions would not stop the superuser."""

    def set_read_only(connection, *_):
        connection.execute("PRAGMA query_only = ON")

    def set_writable(connection, *_):
        connection.execute("PRAGMA query_only = OFF")

    event.listen(Pool, "checkout", set_read_only)
    event.listen(Pool, "checkin", set_writable)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", set_read_only)
        event.remove(Pool, "checkin", set_writable)


def test_a_store_that_works_is_written_to_at_once_and_the_queue_creates_no_file(folder: Path, make_project):
    project, spool = make_project(folder / "project"), str(folder / ".sbert-prune" / "spool")
    created: set[str] = set()
    watching = True

    def watch(name: str, arguments: tuple[object, ...]) -> None:
        if watching and name in ("open", "os.mkdir") and str(arguments[0]).startswith(spool):
            created.add(str(arguments[0]))

    sys.addaudithook(watch)  # stays until the process ends
    try:
        result = CliRunner().invoke(main, ["evaluate", "--model", str(project.base), "--sts-data", str(project.sts)])
    finally:
        watching = False

    assert result.exit_code == 0, result.output
    assert created == set()


def test_a_database_that_becomes_read_only_stops_nothing_and_loses_nothing(folder: Path, no_pause):
    store = connect()

    with open_run(store, "step", {}) as run:
        model_id = store.client.create_logged_model("0", "x", run.run_id).model_id
        with read_only():
            log_everything(run, Figure())
            waiting = list((folder / ".sbert-prune" / "spool").glob("*.jsonl"))
        run.log_output(model_id)
    rest = store.outbox.close()

    assert len(waiting) == 1
    assert (rest, store.outbox.mine.late, store.outbox.mine.refused) == ((0, 0), 8, [])
    assert read_everything(store.client, run.run_id) == expected([model_id])
    assert not (folder / ".sbert-prune").exists()


def test_a_locked_database_stops_nothing_and_loses_nothing(folder: Path, impatient, no_pause):
    store = connect()

    with open_run(store, "step", {}) as run:
        model_id = store.client.create_logged_model("0", "x", run.run_id).model_id
        with locked(folder):
            log_everything(run, Figure())
        run.log_output(model_id)
    rest = store.outbox.close()

    assert (rest, store.outbox.mine.late, store.outbox.mine.refused) == ((0, 0), 8, [])
    assert read_everything(store.client, run.run_id) == expected([model_id])


def test_a_database_that_stays_locked_gives_exit_status_3_and_the_next_command_delivers(
    folder: Path, impatient, monkeypatch, make_project
):
    project = make_project(folder / "project")

    with closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        away = evaluate_while(lambda: other.in_transaction or other.execute("BEGIN EXCLUSIVE"), project, monkeypatch)
    back = evaluate_while(str, project, monkeypatch)

    check_what_came_late(away, back, MlflowClient(f"sqlite:///{folder / 'mlflow.db'}"), folder)


def test_a_last_line_that_a_kill_left_incomplete_is_skipped(folder: Path, impatient):
    store = connect()
    with open_run(store, "step", {}) as run, locked(folder):
        for score in (1.0, 2.0, 3.0):
            run.log_metrics({f"score_{score:.0f}": score})
    with locked(folder):
        rest = store.outbox.close()
    (path,) = (folder / ".sbert-prune" / "spool").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-5])

    connect().outbox.deliver()

    recorded = store.client.get_run(run.run_id)
    assert rest == (4, 0)
    assert (recorded.data.metrics, recorded.info.status) == (
        {"score_1": 1.0, "score_2": 2.0, "score_3": 3.0},
        "RUNNING",
    )
    assert not (folder / ".sbert-prune").exists()


def dead() -> str:
    """Return a heartbeat of a process that has ended."""
    process = Process.current()
    return str(Heartbeat(datetime.now(UTC), "here", Process(process.machine, process.pid, process.started_ms - 10_000)))


def run_with_queued_end(folder: Path) -> str:
    """Leave a run whose end the database refused, of a process that has ended since; return its id."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with create_engine(uri).begin() as database:
        refusal = "SELECT RAISE(FAIL, 'database or disk is full')"
        of_ends = "BEFORE UPDATE ON runs WHEN NEW.status = 'FINISHED'"
        database.execute(text(f"CREATE TRIGGER full {of_ends} BEGIN {refusal}; END"))
    store = connect()
    run = start_run(store, "step", {})
    store.client.set_tag(run.run_id, HEARTBEAT, dead())
    a_minute_ago = int(time.time() * 1000) - 60_000
    store.outbox.put(Entry(run.run_id, "terminated", {"status": "FINISHED"}, a_minute_ago))
    store.pulse.end(run.run_id)
    assert store.outbox.close() == (1, 0)
    return run.run_id


def tidy_up_as_a_command() -> None:
    """What a command does first; at its end it leaves the queues that it could not empty to the next one."""
    store = connect()
    tidy_up(store)
    store.outbox.close()


def accept_ends(folder: Path) -> None:
    with create_engine(f"sqlite:///{folder / 'mlflow.db'}").begin() as database:
        database.execute(text("DROP TRIGGER full"))


def test_a_run_whose_end_is_queued_is_closed_by_its_delivery_and_not_as_killed(folder: Path, capsys):
    run_id, client = run_with_queued_end(folder), MlflowClient()

    tidy_up_as_a_command()
    meanwhile = client.get_run(run_id).info.status
    accept_ends(folder)
    tidy_up_as_a_command()

    run = client.get_run(run_id)
    assert (meanwhile, run.info.status) == ("RUNNING", "FINISHED")
    assert "sbert_prune.error" not in run.data.tags
    assert "closed as KILLED" not in capsys.readouterr().out


def test_an_end_that_comes_late_corrects_a_run_that_was_taken_for_dead(folder: Path):
    """Another command, which does not see the queue, has closed it: the queue of a server is in the working folder."""
    run_id, client = run_with_queued_end(folder), MlflowClient()
    (folder / ".sbert-prune").rename(folder / "elsewhere")
    tidy_up_as_a_command()
    taken_for_dead = client.get_run(run_id)
    (folder / "elsewhere").rename(folder / ".sbert-prune")
    accept_ends(folder)

    tidy_up_as_a_command()

    run = client.get_run(run_id)
    assert (taken_for_dead.info.status, "sbert_prune.error" in taken_for_dead.data.tags) == ("KILLED", True)
    assert (run.info.status, "sbert_prune.error" in run.data.tags) == ("FINISHED", False)


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages of exit status 3."""
    lines: list[str] = []
    monkeypatch.setattr("pipelines.steps.context.report_unrecorded", lines.append)
    return lines


def test_the_entries_of_a_deleted_run_are_dropped_and_reported(folder: Path, impatient, unrecorded, capsys):
    store = connect()
    with open_run(store, "deleted", {}) as deleted, open_run(store, "step", {}) as run, locked(folder):
        deleted.log_metrics({"score": 1.0})
        run.log_metrics({"score": 2.0})
    with locked(folder):
        store.outbox.close()
    store.client.delete_run(deleted.run_id)

    following = connect()
    deliver_inherited(following.outbox)
    deliver_remaining(following.outbox)

    output = capsys.readouterr().out
    assert "2 entries of an earlier command dropped, because the store rejects them: metrics of run" in output
    assert "must be in the 'active' state" in output
    assert store.client.get_run(run.run_id).data.metrics == {"score": 2.0}
    assert unrecorded == []
    assert not (folder / ".sbert-prune").exists()


def test_a_value_that_the_store_never_accepts_is_reported_and_stops_nothing(folder: Path, unrecorded):
    store = connect()
    with open_run(store, "step", {}) as run:
        run.log_params({"layers": "6"})
        run.log_params({"layers": "7"})
        run.log_metrics({"score": 2.0})

    deliver_remaining(store.outbox)

    (line,) = unrecorded
    assert line.startswith(f"1 entry not recorded, because the store rejects them: params of run {run.run_id}: ")
    assert store.client.get_run(run.run_id).info.status == "FINISHED"


def test_system_metrics_continue_after_a_failure(folder: Path, impatient, no_pause, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    store = connect()

    with open_run(store, "step", {}) as run, run.system_metrics():
        with locked(folder):
            time.sleep(1)
        time.sleep(1)
    store.outbox.close()

    steps = [step for step, _ in history(store.client, run.run_id, "system/cpu_utilization_percentage")]
    assert store.outbox.mine.late > 0
    assert steps == list(range(len(steps)))


def test_an_existing_experiment_is_not_created_again(folder: Path, monkeypatch):
    connect()
    monkeypatch.setattr(MlflowClient, "create_experiment", None)

    assert connect().experiment_id == "0"


def test_requests_that_can_be_repeated_are_short_unless_the_user_sets_otherwise(folder: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    store = connect()
    settings: list[tuple[str | None, str | None]] = []
    names = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
    monkeypatch.setattr(
        store.client, "log_batch", lambda *_, **__: settings.append(tuple(os.environ.get(name) for name in names))
    )

    with open_run(store, "step", {}) as run:
        run.set_tags({"role": "variant"})

    assert settings == [("1", "77")]
    assert [os.environ.get(name) for name in names] == [None, "77"]
