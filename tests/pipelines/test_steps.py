"""The steps as single commands."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main
from pipelines.flows.full import run_full
from sbert_prune.errors import TrackingError
from sbert_prune.models.sentence import PROBES, load_saved, with_pooling
from sbert_prune.models.sources import locate_base
from sbert_prune.system.processes import Process
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.logged_models import fetch_model
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import HEARTBEAT, connect
from tests.pipelines.conftest import RECIPE, Project
from tests.pipelines.faults import collapsed
from tests.stores import tags_of

ROOT = Path(__file__).parents[2]


def call(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def model_uri(output: str) -> str:
    match = re.search(r"^model\s+(\S+)$", output, re.MULTILINE)
    assert match, output
    return match[1]


@pytest.mark.slow
def test_the_steps_one_by_one_make_the_same_model_as_full(project: Project):
    phases = ["--recipe", RECIPE, "--registered-model", "sbert-small", "--precision", "float32"]
    run_full(project.recipe())

    pruned = model_uri(
        call("prune", "--recipe", RECIPE, "--base-model", str(project.base), "--layers", "2", *phases[2:4])
    )
    after_nli = model_uri(call("train_nli", "--model", pruned, "--nli-data", str(project.nli), *phases))
    after_sts = model_uri(
        call("train_sts", "--model", after_nli, "--sts-data", str(project.sts), "--sts-epochs", "1", *phases)
    )
    judged = call(
        "evaluate", "--model", after_sts, "--sts-data", str(project.sts), "--reference", "models:/sbert-small/1"
    )
    call("register", "--model", after_sts, "--registered-model", "sbert-small", "--force", "true")

    client = MlflowClient(project.uri)
    one_by_one, full = tags_of(client, "sbert-small", "3"), tags_of(client, "sbert-small", "2")
    assert one_by_one["sbert_prune.model_sha256"] == full["sbert_prune.model_sha256"]
    assert "quality/retention" in judged
    assert float(one_by_one["quality/retention"]) == pytest.approx(float(full["quality/retention"]), abs=1e-6)


def test_a_recipe_has_an_experiment_and_a_step_is_reused_from_any(project: Project, tmp_path, monkeypatch):
    """What `mlflow run` and older versions record is in Default; its artifacts show where a new one's belong."""
    given = ("prune", "--recipe", RECIPE, "--base-model", str(project.base), "--layers", "2")
    first = model_uri(call(*given))
    dead = str(Heartbeat(datetime.now(UTC), "here", replace(Process.current(), started_ms=1)))
    left = MlflowClient(project.uri).create_run("0", tags={"sbert_prune.step": "prune", HEARTBEAT: dead})
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.chdir(tmp_path)

    again = call(*given)
    other = call(*given[:-1], "1")

    client = MlflowClient(project.uri)
    experiment = client.get_experiment_by_name(RECIPE)
    runs = client.search_runs([experiment.experiment_id])
    assert model_uri(again) == first
    assert "its result is reused" in again
    assert client.get_run(left.info.run_id).info.status == "KILLED"
    assert [run.info.run_name for run in runs] == ["prune", "prune"]
    assert Path(experiment.artifact_location).parent == project.folder / "mlruns"
    assert client.get_logged_model(model_uri(other).removeprefix("models:/")).experiment_id == experiment.experiment_id


def test_a_labelled_step_alone_has_no_reference_to_learn_from(project: Project):
    given = ("train_sts", "--model", str(project.base), "--sts-data", str(project.sts), "--sts-epochs", "1")

    told = call(*given)
    refused = CliRunner().invoke(main, [*given, "--sts-distillation", "1"])

    assert "sts: the labels alone teach; distil_teacher=models:/NAME/1 adds a teacher" in told
    assert MlflowClient(project.uri).search_runs(["0"])[0].data.params["recipe.sts.distillation"] == "0.0"
    assert refused.exit_code == 2
    assert "a single step has no reference" in refused.output


def test_a_pruned_model_is_pruned_again_in_the_indices_of_its_base(project: Project):
    first = model_uri(call("prune", "--layers", "0,2,4,6"))

    second = call("prune", "--base-model", first, "--layers", "1,3")

    run = MlflowClient(project.uri).search_runs(["0"], order_by=["attributes.start_time DESC"])[0]
    assert "kept layers 2,6 of 12" in second
    assert (run.data.tags["sbert_prune.kept_layers"], run.data.tags["sbert_prune.depth"]) == ("2,6", "12")


def test_evaluate_takes_a_run_uri_a_folder_and_a_single_file(project: Project):
    saved = model_uri(call("prune", "--base-model", str(project.base), "--layers", "1"))
    store = connect()
    folder = project.folder / "external"
    fetch_model(saved).rename(folder)
    with open_run(store, "an external run", {}) as run:
        store.client.log_artifacts(run.run_id, str(folder), "encoder")

    for uri in (str(folder), f"runs:/{run.run_id}/encoder"):
        output = call("evaluate", "--model", uri, "--sts-data", str(project.sts / "test.csv"))

        assert "sts_test/spearman_cosine " in output
        assert "sts_dev/spearman_cosine " not in output


def test_a_failed_step_marks_its_runs_and_registers_nothing(project: Project):
    base = collapsed(project.base, project.folder / "collapsed")
    recipe = ["--layers", "3", "--phases", "sts", "--sts-learning-rate", "1e-9", "--precision", "float32"]

    result = CliRunner().invoke(main, ["full", "--base-model", str(base), *project.data, *recipe])

    client = MlflowClient(project.uri)
    assert result.exit_code == 2
    assert "it has collapsed" in result.output
    assert {run.info.status for run in client.search_runs(["0"], "tags.sbert_prune.step = 'full'")} == {"FAILED"}
    assert client.search_registered_models() == []


def test_a_run_of_mlflow_is_adopted_by_the_command_and_by_no_child(project: Project, monkeypatch: pytest.MonkeyPatch):
    store = connect()
    outer = store.client.create_run("0", run_name="gaudy-ape-123").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", outer)

    with open_run(store, "full L6", {"step": "full"}) as parent, open_run(store, "prune", {}, parent=parent) as child:
        pass

    adopted = store.client.get_run(outer)
    assert (parent.run_id, adopted.info.run_name, adopted.info.status) == (outer, "full L6", "FINISHED")
    assert child.run_id != outer


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED"), (ValueError("x://u:pw@h"), "FAILED")],
    ids=repr,
)
def test_a_run_ends_with_the_status_of_what_ended_it(project: Project, error, status):
    store = connect()

    with pytest.raises(type(error)), open_run(store, "step", {}) as run:
        raise error

    ended = store.client.get_run(run.run_id)
    assert ended.info.status == status
    assert "pw" not in ended.data.tags["sbert_prune.error"]


def test_a_store_that_fails_in_the_middle_is_an_answer_and_not_a_traceback(project: Project):
    store = connect()

    with pytest.raises(TrackingError, match="failed in the middle of a run"), open_run(store, "step", {}) as run:
        store.client.get_run("no such run" + run.run_id)

    assert store.client.get_run(run.run_id).info.status == "FAILED"


def test_retention_without_test_pairs_is_refused(project: Project):
    (project.sts / "test.csv").unlink()

    result = CliRunner().invoke(
        main,
        ["evaluate", "--model", str(project.base), "--reference", str(project.base), "--sts-data", str(project.sts)],
    )

    assert result.exit_code == 2
    assert "retention is measured on test pairs" in result.output


def test_a_broken_store_is_an_answer_and_not_a_traceback(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mlflow.db").write_bytes(b"this is not a database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")

    with pytest.raises(
        TrackingError,
        match=r"mlflow.db cannot be opened: file is not a database. Restore a",
    ):
        connect()


def test_a_model_that_does_not_load_equal_is_not_registered_and_the_users_model_stays(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    saved = model_uri(call("prune", "--base-model", str(project.base), "--layers", "1"))
    monkeypatch.setattr("pipelines.steps.register.PROBES", ("another sentence", *PROBES[1:]))

    result = CliRunner().invoke(main, ["register", "--model", saved])

    client = MlflowClient(project.uri)
    assert result.exit_code == 2
    assert "differs when it is loaded again" in result.output
    assert client.search_registered_models() == []
    assert client.get_logged_model(saved.removeprefix("models:/")).status == "READY"


def test_a_registered_name_may_hold_dots_and_begin_like_a_logged_models_id(project: Project):
    saved = model_uri(call("prune", "--base-model", str(project.base), "--layers", "1", "--registered-model", "m-v1.2"))

    call("register", "--model", saved, "--registered-model", "m-v1.2")
    output = call("evaluate", "--model", "models:/m-v1.2/1", "--sts-data", str(project.sts))

    assert "sts_test/spearman_cosine " in output


def test_a_bare_encoder_is_registered_once_and_verify_finds_it_as_it_was_stored(project: Project):
    call("register", "--model", str(project.base), "--registered-model", "s")

    again = call("register", "--model", str(project.base), "--registered-model", "s")

    assert "version 1 of s is the same model" in again
    assert "every version matches its record" in call("verify", "--registered-model", "s")


def test_an_external_model_is_registered_with_its_own_pooling_and_a_lineage(project: Project):
    external = with_pooling(load_saved(locate_base(str(project.base)).checkpoint), "cls", max_seq_length=32)
    external.save(str(project.folder / "external"))

    call("register", "--model", str(project.folder / "external"), "--registered-model", "s")

    assert tags_of(MlflowClient(project.uri), "s", "1")["sbert_prune.pooling"] == "cls"
    assert (fetch_model("models:/s/1") / "pruning.json").is_file()
