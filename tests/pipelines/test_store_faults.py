"""Faults of a store on a command's way from start to registration: nothing that was made is lost, and nothing false is said."""

import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from pipelines import steps
from pipelines.__main__ import main
from tests.commands import PRELOADED
from tests.pipelines.beginning import begin
from tests.pipelines.conftest import Project
from tests.pipelines.shelf import NAME, done, shelve
from tests.pipelines.test_tracking_faults import Server, no_pause, server, the_server  # noqa: F401 - fixtures
from tests.proxy import Proxy, proxy_to

ROOT = Path(__file__).parents[2]


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch):  # noqa: F811 - the fixture
    with proxy_to(server.port) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        yield proxy


def full(project: Project) -> Result:
    return CliRunner().invoke(main, ["full", "--layers", "3", "--sts-epochs", "1", "--robustness", "0", *project.given])


def train(project: Project) -> Result:
    arguments = ["--model", str(project.base), "--sts-data", str(project.sts), "--sts-epochs", "1", "--force", "true"]
    return CliRunner().invoke(main, ["train_sts", *arguments])


@pytest.mark.service
def test_a_server_that_is_down_at_registration_loses_nothing_and_the_same_command_registers(server, tmp_path, monkeypatch, make_project):  # noqa: F811
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    project = make_project(tmp_path / "project")
    log_model = steps.log_model
    with monkeypatch.context() as patch:
        patch.setattr(steps, "log_model", lambda *given: (server.kill(), log_model(*given))[1])
        away = full(project)

    assert away.exit_code == 3, away.output
    kept = tmp_path / ".sbert-prune" / "unfinished"
    assert f"What was made so far is kept in {kept}: the same command goes on from there." in away.output
    assert "Traceback" not in away.output
    server.start()
    back = full(project)

    assert back.exit_code == 0, back.output
    assert "step train_sts: the same was done by run" in back.output
    assert "optimizer step" not in back.output
    client = MlflowClient(server.address)
    (version,) = client.search_model_versions("name = 'sbert-quickstart'")
    assert version.tags["sbert_prune.role"] == "reference"
    assert not client.search_runs(["0"], "attributes.status = 'RUNNING'")
    assert {model.status for model in client.search_logged_models(["0"])} == {"READY"}
    assert not (tmp_path / ".sbert-prune").exists()


@pytest.mark.service
def test_a_server_that_answers_500_for_a_while_misses_nothing(proxy: Proxy, tmp_path, no_pause, monkeypatch, make_project):  # noqa: F811
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    project = make_project(tmp_path / "project")
    proxy.status = lambda path: 500 if "log-batch" in path and sum("log-batch" in asked for asked in proxy.asked) < 5 else None

    result = train(project)

    assert result.exit_code == 0, result.output
    assert "the tracking store failed for a while" in result.output
    run = MlflowClient(proxy.address).search_runs(["0"], order_by=["attributes.start_time DESC"])[0]
    assert (run.info.status, "sts/loss" in run.data.metrics) == ("FINISHED", True)


@pytest.mark.service
def test_a_server_that_answers_500_to_the_end_makes_exit_status_3(proxy: Proxy, tmp_path, monkeypatch, make_project):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    project = make_project(tmp_path / "project")
    proxy.status = lambda path: 500 if "log-batch" in path else None

    result = train(project)

    assert result.exit_code == 3, result.output
    assert re.search(r"Warning: \d+ entries not recorded yet", result.output)
    proxy.status = lambda _: None
    assert "that an earlier command could not record: delivered now" in train(project).output


@pytest.mark.service
def test_a_slow_server_is_waited_for(proxy: Proxy, tmp_path, make_project):
    project = make_project(tmp_path / "project")
    proxy.delay_s = 0.5

    result = train(project)

    assert result.exit_code == 0, result.output
    assert "Warning" not in result.output


@pytest.mark.service
def test_a_server_that_has_no_stages_any_more_keeps_alias_and_tag_and_it_is_said(proxy: Proxy, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    proxy.status = lambda path: 404 if "transition-stage" in path else None
    shelve(noise=0.05, size=80, role="reference")
    shelve(noise=0.051, size=20)

    told = done("promote")

    assert "this server has no stages any more: the alias champion and the tag sbert_prune.stage carry on" in told
    client = MlflowClient(proxy.address)
    version = client.get_model_version_by_alias(NAME, "champion")
    assert (str(version.version), version.tags["sbert_prune.stage"]) == ("2", "Production")
    done("promote", "--version", "1", "--force", "true", "--reason", "test")
    assert client.get_model_version(NAME, "2").tags["sbert_prune.stage"] == "Archived"
    assert str(client.get_model_version_by_alias(NAME, "previous").version) == "2"
    told = CliRunner().invoke(main, ["verify", "--registered-model", NAME]).output
    assert "is in stage" not in told


@pytest.mark.slow
def test_eight_processes_that_start_on_a_fresh_store_at_once_do_not_break_each_other(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    for round_ in range(4):
        uri, start = f"sqlite:///{tmp_path / f'{round_}.db'}", context.Barrier(8)
        processes = [context.Process(target=begin, args=(uri, start)) for _ in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0] * 8
        assert [run.info.status for run in MlflowClient(uri).search_runs(["0"])] == ["FINISHED"] * 8


def test_a_run_of_a_killed_process_is_closed_by_the_next_command(tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    code = (
        "import os; from sbert_prune.store import connect\n"
        "from sbert_prune.tracking import open_run\n"
        "store = connect()\n"
        "parent = open_run(store, 'full L6', {'step': 'full'})\n"
        "with parent as run, open_run(store, 'register', {'step': 'register'}, parent=run) as child:\n"
        "    half = store.client.create_logged_model('0', 'x', child.run_id)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done_ = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done_.returncode == -9, done_.stderr
    client = MlflowClient(uri)
    somebody_elses = client.create_run("0").info.run_id

    shelve(noise=0.05, size=80, role="reference")
    told = done("history")

    assert "closed as KILLED, as their process has ended without a word: register, full L6" in told
    ended = [client.search_runs(["0"], f"attributes.run_name = '{name}'")[0] for name in ("full L6", "register")]
    assert {run.info.status for run in ended} == {"KILLED"}
    assert {run.data.tags["sbert_prune.error"].partition(" on ")[0] for run in ended} == {"its process"}
    assert not [model for model in client.search_logged_models(["0"]) if str(model.status) != "READY"]
    assert client.get_run(somebody_elses).info.status == "RUNNING"
    assert "closed as KILLED" not in done("history")
