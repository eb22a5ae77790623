"""A server that is killed, slow or broken during a command: nothing is lost, and nothing false is recorded."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from mlflow import MlflowClient

from pipelines.__main__ import main
from pipelines.steps import register as steps
from pipelines.steps.train import phase_report
from sbert_prune.tracking.runs import Run, open_run
from sbert_prune.tracking.store import connect
from sbert_prune.training.setup import TrainerSetup
from tests.pipelines.conftest import Project
from tests.pipelines.faults import (
    check_what_came_late,
    evaluate_while,
    expected,
    history,
    log_everything,
    no_pause,
    read_everything,
)
from tests.pipelines.made_versions import NAME, add_version, done
from tests.proxy import Proxy, proxy_to
from tests.services.killable import Server

__all__ = ["no_pause"]

pytestmark = pytest.mark.service


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
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch):
    with proxy_to(server.port) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        yield proxy


def full(project: Project) -> Result:
    return CliRunner().invoke(main, ["full", "--layers", "3", "--sts-epochs", "1", "--robustness", "0", *project.given])


def train(project: Project) -> Result:
    arguments = ["--model", str(project.base), "--sts-data", str(project.sts), "--sts-epochs", "1", "--force", "true"]
    return CliRunner().invoke(main, ["train_sts", *arguments])


@contextmanager
def happening(
    monkeypatch: pytest.MonkeyPatch, deeds: dict[int, Callable[[], None]]
) -> Iterator[list[tuple[int, float]]]:
    """Log every optimizer step at once, and act before the given steps. Yields the logged losses."""
    logged: list[tuple[int, float]] = []
    log_series = Run.log_series

    def and_more(run: Run, points):
        for step, metrics in points:
            if "sts/loss" in metrics:
                deeds.get(step, lambda: None)()
                logged.append((step, metrics["sts/loss"]))
        log_series(run, points)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.steps.train.TrainerSetup", partial(TrainerSetup, report_every=1))
        patch.setattr("pipelines.steps.train.phase_report", partial(phase_report, flush_every_s=0.0))
        patch.setattr(Run, "log_series", and_more)
        yield logged


def test_all_that_is_logged_while_a_server_is_down_comes_later_as_it_was_and_no_password_is_kept(
    server: Server, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address.replace("//", "//ann:secret@"))
    for name in ("USERNAME", "PASSWORD"):  # where they move to
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    store = connect()
    with open_run(store, "step", {}) as run:
        model_id = store.client.create_logged_model("0", "x", run.run_id).model_id
        server.kill()
        log_everything(run, Figure())
        run.log_output(model_id)
    ended, asked_in_vain = time.time(), store.outbox.mine.failures
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

    assert asked_in_vain == 1, "it is left in peace for a while"
    assert (*rest, first.inherited.late, second.inherited.late) == (10, 0, 10, 10)
    assert gone
    assert "http://127.0.0.1" in kept
    assert "secret" not in kept
    assert read_everything(store.client, run.run_id) == expected([model_id])
    assert abs(store.client.get_run(run.run_id).info.end_time / 1000 - ended) < 5


def test_a_server_that_is_killed_while_training_and_comes_back_misses_nothing(
    server: Server, tmp_path, no_pause, monkeypatch, make_project
):
    project = make_project(tmp_path / "project")
    arguments = [
        "--model",
        str(project.base),
        "--sts-data",
        str(project.sts),
        "--sts-epochs",
        "2",
        "--sts-batch-size",
        "8",
        "--seed",
        "7",
    ]

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


def test_a_server_that_stays_away_makes_exit_status_3_and_the_next_command_delivers(
    server: Server, tmp_path, monkeypatch, make_project
):
    project = make_project(tmp_path / "project")

    away = evaluate_while(server.kill, project, monkeypatch)
    server.start()
    back = evaluate_while(str, project, monkeypatch)

    check_what_came_late(away, back, MlflowClient(server.address), tmp_path)


def test_a_server_that_is_down_at_registration_loses_nothing_and_the_same_command_registers(
    server, tmp_path, monkeypatch, make_project
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    project = make_project(tmp_path / "project")
    log_model = steps.log_model
    with monkeypatch.context() as patch:
        patch.setattr(steps, "log_model", lambda *given: (server.kill(), log_model(*given))[1])
        away = full(project)

    assert away.exit_code == 3, away.output
    kept = tmp_path / ".sbert-prune" / "unfinished"
    assert f"The results so far are kept in {kept}: run the same command again to continue." in away.output
    assert "Traceback" not in away.output
    server.start()
    back = full(project)

    assert back.exit_code == 0, back.output
    assert "step train_sts: the same was done by run" in back.output
    assert "optimizer step" not in back.output
    client = MlflowClient(server.address)
    (version,) = client.search_model_versions("name = 'sbert-quickstart-paper'")
    assert version.tags["sbert_prune.role"] == "reference"
    assert not client.search_runs(["0"], "attributes.status = 'RUNNING'")
    assert {model.status for model in client.search_logged_models(["0"]) if model.name == "sbert-quickstart-paper"} == {
        "READY"
    }
    assert not (tmp_path / ".sbert-prune").exists()


def test_a_server_that_answers_500_for_a_while_misses_nothing(
    proxy: Proxy, tmp_path, no_pause, monkeypatch, make_project
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    project = make_project(tmp_path / "project")
    proxy.status = lambda path: (
        500 if "log-batch" in path and sum("log-batch" in request for request in proxy.requests) < 5 else None
    )

    result = train(project)

    assert result.exit_code == 0, result.output
    assert "the tracking store failed for a while" in result.output
    run = MlflowClient(proxy.address).search_runs(["0"], order_by=["attributes.start_time DESC"])[0]
    assert (run.info.status, "sts/loss" in run.data.metrics) == ("FINISHED", True)


def test_a_server_that_answers_500_to_the_end_makes_exit_status_3(proxy: Proxy, tmp_path, monkeypatch, make_project):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    project = make_project(tmp_path / "project")
    proxy.status = lambda path: 500 if "log-batch" in path else None

    result = train(project)

    assert result.exit_code == 3, result.output
    assert re.search(r"Warning: \d+ entries not recorded yet", result.output)
    proxy.status = lambda _: None
    assert "that an earlier command could not record: delivered now" in train(project).output


def test_a_slow_server_is_waited_for(proxy: Proxy, tmp_path, make_project):
    project = make_project(tmp_path / "project")
    proxy.delay_s = 0.5

    result = train(project)

    assert result.exit_code == 0, result.output
    assert "Warning" not in result.output


def test_a_server_that_has_no_stages_any_more_keeps_alias_and_tag_and_it_is_said(proxy: Proxy, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    proxy.status = lambda path: 404 if "transition-stage" in path else None
    add_version(noise=0.05, size=80, role="reference")
    add_version(noise=0.051, size=20)

    told = done("promote")

    assert "this server has no stages any more: the alias champion and the tag sbert_prune.stage replace them" in told
    client = MlflowClient(proxy.address)
    version = client.get_model_version_by_alias(NAME, "champion")
    assert (str(version.version), version.tags["sbert_prune.stage"]) == ("2", "Production")
    done("promote", "--version", "1", "--force", "true", "--reason", "test")
    assert client.get_model_version(NAME, "2").tags["sbert_prune.stage"] == "Archived"
    assert str(client.get_model_version_by_alias(NAME, "previous").version) == "2"
    told = CliRunner().invoke(main, ["verify", "--registered-model", NAME]).output
    assert "is in stage" not in told


def test_an_artifacts_endpoint_that_fails_alone_is_reported_before_training(proxy: Proxy, tmp_path, make_project):
    project = make_project(tmp_path / "project")
    add_version(noise=0.05, size=80, role="reference")
    proxy.requests.clear()
    proxy.status = lambda path: 503 if "mlflow-artifacts" in path else None

    result = full(project)

    assert result.exit_code == 2, result.output
    assert "its endpoint for artifacts, which stores the models, does not: it answers with status 503" in result.output
    assert "step " not in result.output
    assert sum("mlflow-artifacts" in path for path in proxy.requests) == 3
    assert f"history of {NAME}" in done("history"), "it needs no artifacts"
