"""A store that fails never stops training: what it does not take is kept, and delivered by this command or by the next one."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from mlflow import MlflowClient
from sqlalchemy import Engine, event

from pipelines import judging
from pipelines.__main__ import main
from pipelines.context import deliver_inherited, settle
from pipelines.phase_log import phase_report
from sbert_prune.lineage import DataRecord
from sbert_prune.spool import Outbox
from sbert_prune.store import connect
from sbert_prune.tracking import Run, open_run
from sbert_prune.training.lesson import Setup
from tests.pipelines.conftest import Project


class Server:
    """An MLflow server over a SQLite file, which can be killed and started again at the same address."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it where it does not run, and wait until it answers."""
        if self.process is not None:
            return
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        settings = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | settings
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=settings, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        for _ in range(900):
            try:
                urlopen(f"{self.address}/health", timeout=5).close()
                return
            except (URLError, OSError):
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                time.sleep(0.2)
        raise AssertionError("mlflow server did not answer within three minutes")

    def kill(self) -> None:
        """Kill it and its workers as a machine that goes down does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def the_server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def server(the_server: Server, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Server:
    the_server.start()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", the_server.address)
    return the_server


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that failed is asked again at once."""
    monkeypatch.setattr("sbert_prune.store.Outbox", partial(Outbox, pause_s=0.0))


def history(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, key))


def log_everything(run: Run, figure: Figure) -> None:
    """One of each kind."""
    run.log_params({"layers": "6"})
    run.log_metrics({"score": 0.5})
    run.log_series([(step, {"loss": 1 / step}) for step in range(1, 1501)])
    run.set_tags({"role": "variant"})
    run.log_data(DataRecord(name="train", source="rows.csv", digest="ab" * 32, rows=7, skipped=1), "training")
    run.log_json({"a": [1]}, "recipe.json")
    run.log_text("ü", "rows/skipped.txt")
    run.log_figure(figure, "variants.png")


def read_everything(client: MlflowClient, run_id: str) -> dict[str, object]:
    run = client.get_run(run_id)
    return {
        "status": run.info.status,
        "params": run.data.params,
        "score": run.data.metrics["score"],
        "loss": history(client, run_id, "loss"),
        "tag": run.data.tags["sbert_prune.role"],
        "inputs": [(each.dataset.name, each.dataset.digest, each.tags[0].value) for each in run.inputs.dataset_inputs],
        "outputs": [each.model_id for each in run.outputs.model_outputs] if run.outputs else [],
        "artifacts": sorted(item.path for folder in ("", "rows") for item in client.list_artifacts(run_id, folder) if not item.is_dir),
    }


def expected(outputs: list[str]) -> dict[str, object]:
    return {
        "status": "FINISHED",
        "params": {"layers": "6"},
        "score": 0.5,
        "loss": [(step, 1 / step) for step in range(1, 1501)],
        "tag": "variant",
        "inputs": [("train", "ab" * 8, "training")],
        "outputs": outputs,
        "artifacts": ["recipe.json", "rows/skipped.txt", "variants.png"],
    }


@pytest.mark.service
def test_all_that_is_logged_while_a_server_is_down_comes_later_as_it_was_and_no_password_is_kept(server: Server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address.replace("//", "//ann:secret@"))
    for name in ("USERNAME", "PASSWORD"):  # where they move to
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    store = connect()
    with open_run(store, "step", {}) as run:
        model_id = store.client.create_logged_model("0", "x", run.run_id).model_id
        server.kill()
        began = time.monotonic()
        log_everything(run, Figure())
        run.log_output(model_id)
    took, ended = time.monotonic() - began, time.time()
    rest = store.outbox.close()
    (path,) = (tmp_path / ".sbert-prune" / "spool").glob("*.jsonl")
    kept = path.read_text()
    server.start()

    first = connect().outbox
    first.deliver()
    gone = not (tmp_path / ".sbert-prune").exists()
    path.parent.mkdir(parents=True)
    path.write_text(kept)
    second = connect().outbox  # what is delivered twice, as after a kill in between, does no harm
    second.deliver()

    assert took < 5
    assert (*rest, first.inherited.late, second.inherited.late) == (10, 0, 10, 10)
    assert gone
    assert "http://127.0.0.1" in kept
    assert "secret" not in kept
    assert read_everything(store.client, run.run_id) == expected([model_id])
    assert abs(store.client.get_run(run.run_id).info.end_time / 1000 - ended) < 5


@contextmanager
def happening(monkeypatch: pytest.MonkeyPatch, deeds: dict[int, Callable[[], None]]) -> Iterator[list[tuple[int, float]]]:
    """Every optimizer step is logged at once, and a deed is done before the step it belongs to. Yields the losses that were logged."""
    logged: list[tuple[int, float]] = []
    log_series = Run.log_series

    def and_more(run: Run, points):
        for step, metrics in points:
            if "sts/loss" in metrics:
                deeds.get(step, lambda: None)()
                logged.append((step, metrics["sts/loss"]))
        log_series(run, points)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.phase_log.Setup", partial(Setup, report_every=1))
        patch.setattr("pipelines.phase_log.phase_report", partial(phase_report, flush_every_s=0.0))
        patch.setattr(Run, "log_series", and_more)
        yield logged


@pytest.mark.service
def test_a_server_that_is_killed_while_training_and_comes_back_misses_nothing(
    server: Server, tmp_path, no_pause, monkeypatch, make_project
):
    project = make_project(tmp_path / "project")
    arguments = ["--model", str(project.base), "--sts-data", str(project.sts), "--sts-epochs", "2", "--sts-batch-size", "8", "--seed", "7"]

    with happening(monkeypatch, {4: server.kill, 15: server.start}) as logged:
        result = CliRunner().invoke(main, ["train_sts", *arguments])

    client = MlflowClient(server.address)
    (run,) = client.search_runs(["0"], "attributes.run_name = 'train_sts'")
    assert result.exit_code == 0, result.output
    assert re.search(r"the tracking store failed for a while: \d+ entries kept, and delivered since", result.output)
    assert [step for step, _ in logged] == list(range(1, 25))
    assert history(client, run.info.run_id, "sts/loss") == logged
    assert run.info.status == "FINISHED"
    assert not (tmp_path / ".sbert-prune").exists()


def evaluate_while(deed: Callable[[], object], project: Project, monkeypatch: pytest.MonkeyPatch) -> Result:
    """`evaluate` with a deed done while it judges."""
    look = judging.measure_speed
    with monkeypatch.context() as patch:
        patch.setattr(judging, "measure_speed", lambda *given: (deed(), look(*given))[1])
        return CliRunner().invoke(main, ["evaluate", "--model", str(project.base), "--sts-data", str(project.sts)])


def check_what_came_late(away: Result, back: Result, client: MlflowClient, folder: Path) -> None:
    first, second = client.search_runs(["0"], "attributes.run_name = 'evaluate'", order_by=["attributes.start_time"])
    assert away.exit_code == 3, away.output
    where = folder / ".sbert-prune" / "spool"
    assert re.search(
        rf"Warning: \d+ entries not recorded yet: they lie in {where}, and the next command here delivers them\n$", away.output
    )
    assert "sts_test/spearman_cosine" in away.output
    assert back.exit_code == 0, back.output
    assert re.search(r"^\d+ entries that an earlier command could not record: delivered now$", back.output, re.MULTILINE)
    assert (first.info.status, second.info.status) == ("FINISHED", "FINISHED")
    assert first.data.metrics["sts_test/spearman_cosine"] == second.data.metrics["sts_test/spearman_cosine"]
    assert not (folder / ".sbert-prune").exists()


@pytest.mark.service
def test_a_server_that_stays_away_makes_exit_status_3_and_the_next_command_delivers(server: Server, tmp_path, monkeypatch, make_project):
    project = make_project(tmp_path / "project")

    away = evaluate_while(server.kill, project, monkeypatch)
    server.start()
    back = evaluate_while(str, project, monkeypatch)

    check_what_came_late(away, back, MlflowClient(server.address), tmp_path)


@pytest.fixture
def impatient() -> Iterator[None]:
    """MLflow waits 20 s for a locked SQLite file; here it waits for a tenth of a second."""

    def shorten(_connection, _cursor, statement, parameters, *_):
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), parameters

    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """A SQLite store that MLflow has initialised, which takes it seconds."""
    path = tmp_path_factory.mktemp("fresh") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def folder(fresh: Path, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a SQLite store, where we are."""
    shutil.copy(fresh, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return tmp_path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_a_locked_database_stops_nothing_and_misses_nothing(folder: Path, impatient, no_pause):
    store = connect()

    with open_run(store, "step", {}) as run:
        model_id = store.client.create_logged_model("0", "x", run.run_id).model_id
        with locked(folder):
            log_everything(run, Figure())
        run.log_output(model_id)
    rest = store.outbox.close()

    assert (rest, store.outbox.mine.late, store.outbox.mine.refused) == ((0, 0), 8, [])
    assert read_everything(store.client, run.run_id) == expected([model_id])


def test_a_database_that_stays_locked_makes_exit_status_3_and_the_next_command_delivers(folder: Path, impatient, monkeypatch, make_project):
    project = make_project(folder / "project")

    with closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        away = evaluate_while(lambda: other.in_transaction or other.execute("BEGIN EXCLUSIVE"), project, monkeypatch)
    back = evaluate_while(str, project, monkeypatch)

    check_what_came_late(away, back, MlflowClient(f"sqlite:///{folder / 'mlflow.db'}"), folder)


def test_a_last_line_that_a_kill_broke_off_is_left_out(folder: Path, impatient):
    store = connect()
    with open_run(store, "step", {}) as run, locked(folder):
        for score in (1.0, 2.0, 3.0):
            run.log_metrics({f"score_{score:.0f}": score})
    with locked(folder):
        rest = store.outbox.close()
    (path,) = (folder / ".sbert-prune" / "spool").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-5])

    connect().outbox.deliver()

    there = store.client.get_run(run.run_id)
    assert rest == (4, 0)
    assert (there.data.metrics, there.info.status) == ({"score_1": 1.0, "score_2": 2.0, "score_3": 3.0}, "RUNNING")
    assert not (folder / ".sbert-prune").exists()


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What commands say at the end, with exit status 3."""
    lines: list[str] = []
    monkeypatch.setattr("pipelines.context.not_recorded", lines.append)
    return lines


def test_a_run_that_was_deleted_meanwhile_is_dropped_and_said(folder: Path, impatient, unrecorded, capsys):
    store = connect()
    with open_run(store, "deleted", {}) as deleted, open_run(store, "step", {}) as run, locked(folder):
        deleted.log_metrics({"score": 1.0})
        run.log_metrics({"score": 2.0})
    with locked(folder):
        store.outbox.close()
    store.client.delete_run(deleted.run_id)

    following = connect()
    deliver_inherited(following.outbox)
    settle(following.outbox)

    said = capsys.readouterr().out
    assert "2 entries of an earlier command dropped, as the store will never take them: metrics of run" in said
    assert "must be in the 'active' state" in said
    assert store.client.get_run(run.run_id).data.metrics == {"score": 2.0}
    assert unrecorded == []
    assert not (folder / ".sbert-prune").exists()


def test_a_value_that_the_store_never_takes_is_said_and_stops_nothing(folder: Path, unrecorded):
    store = connect()
    with open_run(store, "step", {}) as run:
        run.log_params({"layers": "6"})
        run.log_params({"layers": "7"})
        run.log_metrics({"score": 2.0})

    settle(store.outbox)

    (line,) = unrecorded
    assert line.startswith(f"1 entry not recorded, as the store will never take them: params of run {run.run_id}: ")
    assert store.client.get_run(run.run_id).info.status == "FINISHED"


def test_system_metrics_go_on_after_a_failure(folder: Path, impatient, no_pause, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    store = connect()

    with open_run(store, "step", {}) as run, run.system_metrics():
        with locked(folder):
            time.sleep(1)
        time.sleep(1)
    store.outbox.close()

    seen = [step for step, _ in history(store.client, run.run_id, "system/cpu_utilization_percentage")]
    assert store.outbox.mine.late > 0
    assert seen == list(range(len(seen)))


def test_a_server_is_asked_briefly_for_what_can_wait_and_as_the_user_says(folder: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    store = connect()
    asked: list[tuple[str | None, str | None]] = []
    names = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
    monkeypatch.setattr(store.client, "log_batch", lambda *_, **__: asked.append(tuple(os.environ.get(name) for name in names)))

    with open_run(store, "step", {}) as run:
        run.set_tags({"role": "variant"})

    assert asked == [("1", "77")]
    assert [os.environ.get(name) for name in names] == [None, "77"]
