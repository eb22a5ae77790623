"""Faults of a store between the start of a command and registration: nothing is lost, and no report is wrong."""

import multiprocessing

import pytest
from mlflow import MlflowClient

from sbert_prune.tracking.logged_models import add_file
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import connect
from tests.commands import PRELOADED
from tests.pipelines.beginning import begin, die_while_registering
from tests.pipelines.made_versions import add_version, done


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


def test_a_run_of_a_killed_process_is_closed_by_the_next_command(uri):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    killed = context.Process(target=die_while_registering, args=(uri,))
    killed.start()
    killed.join()
    assert killed.exitcode == -9
    client = MlflowClient(uri)
    foreign_run = client.create_run("0").info.run_id

    add_version(noise=0.05, size=80, role="reference")
    output = done("history")

    assert "closed as KILLED, because their process ended without closing them: register, full L6" in output
    ended = [client.search_runs(["0"], f"attributes.run_name = '{name}'")[0] for name in ("full L6", "register")]
    assert {run.info.status for run in ended} == {"KILLED"}
    assert {run.data.tags["sbert_prune.error"].partition(" on ")[0] for run in ended} == {"its process"}
    assert not [model for model in client.search_logged_models(["0"]) if str(model.status) != "READY"]
    assert client.get_run(foreign_run).info.status == "RUNNING"
    assert "closed as KILLED" not in done("history")


def test_an_unfinished_model_of_a_run_that_has_ended_is_deleted_by_the_next_command(uri):
    add_version(noise=0.05, size=80, role="reference")
    store = connect()
    with open_run(store, "register", {"step": "register"}) as ended:
        unfinished = store.client.create_logged_model("0", "x", ended.run_id).model_id
        add_file(store, unfinished, "weights", "heavy")
    with open_run(store, "mine", {}) as not_ours:
        of_user = store.client.create_logged_model("0", "x", not_ours.run_id).model_id
    with open_run(store, "register", {"step": "register"}) as running:
        in_use = store.client.create_logged_model("0", "x", running.run_id).model_id

        output = done("history")

    pending = {str(model.model_id) for model in store.client.search_logged_models(["0"]) if model.status != "READY"}
    assert f"deleted, because a killed or failed command left them unregistered: {unfinished}" in output
    assert pending == {of_user, in_use}
