"""An experiment that is deleted, unknown or cannot store artifacts is reported with the way out, before any work."""

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main
from pipelines.doctor.disk import check_undelivered
from pipelines.doctor.store import check_database, check_tracking_store
from pipelines.steps.context import open_store
from sbert_prune.tracking.spool import Entry, Spool
from sbert_prune.tracking.store import connect
from tests.pipelines.made_versions import NAME, add_version

RESTORE = "mlflow experiments restore -x 0"
FOLDED = "restore -x 0"  # the end of it, in a narrow column


@pytest.fixture
def deleted(project):
    """A project with a reference and a variant, whose experiment was deleted."""
    add_version(noise=0.1, size=12, role="reference")
    add_version(noise=0.1, size=6)
    MlflowClient(project.uri).delete_experiment("0")
    return project


def call(*arguments):
    return CliRunner().invoke(main, arguments)


def test_verify_finds_a_deleted_experiment_until_it_is_restored(deleted):
    found = call("verify", "--registered-model", NAME)

    assert found.exit_code == 5, found.output
    assert FOLDED in found.output
    MlflowClient(deleted.uri).restore_experiment("0")
    assert FOLDED not in call("verify", "--registered-model", NAME).output


def test_verify_finds_it_where_nothing_is_registered_and_where_another_experiment_is_used(deleted, monkeypatch):
    client = MlflowClient(deleted.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    of_versions = call("verify")
    client.delete_registered_model(NAME)
    of_nothing = call("verify")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    of_experiment = call("verify")

    assert [of_versions.exit_code, of_nothing.exit_code, of_experiment.exit_code] == [5, 0, 5]
    assert FOLDED in of_versions.output
    assert FOLDED in of_experiment.output


def test_a_deleted_experiment_of_a_recipe_is_found_by_doctor_and_refused(project, monkeypatch):
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    store = connect(experiment="quickstart-paper")
    store.client.delete_experiment(store.experiment_id)

    refused = call("prune", "--recipe", "quickstart-paper", "--base-model", str(project.base), "--layers", "2")

    assert refused.exit_code == 2
    assert f"restore -x {store.experiment_id}" in refused.output
    assert f"restore -x {store.experiment_id}" in check_tracking_store("quickstart-paper").advice
    assert check_tracking_store("another").state == "ok"


@pytest.mark.parametrize("command", ["full", "evaluate", "promote", "rollback"])
def test_a_command_that_records_is_refused_before_it_does_anything(deleted, command):
    """What waits to be recorded in runs of the experiment is kept: MLflow would reject it now."""
    spool = Spool(deleted.folder / ".sbert-prune" / "spool", deleted.uri)
    spool.keep(Entry("r", "tags", {"a": "b"}, 0))
    spool.release()
    given = {
        "full": (*deleted.given, "--layers", "2"),
        "evaluate": ("--model", str(deleted.base), "--sts-data", str(deleted.sts)),
    }

    refused = call(command, *given.get(command, ("--registered-model", NAME)))

    assert refused.exit_code == 2
    assert f"Restore it before `mlflow gc` deletes its models: {RESTORE}" in refused.output
    assert "step " not in refused.output
    assert check_undelivered().state == "warn"


def test_doctor_says_of_a_deleted_experiment_what_the_commands_say(deleted):
    findings = [check_tracking_store(), check_database(deleted.uri.replace("sqlite:", "sqlite+pysqlite:"))]

    assert [(finding.state, finding.command) for finding in findings] == [("fail", RESTORE)] * 2


PLACES = {
    "s3://bucket/x": "No module named 'boto3'. Install its client: pip install boto3;",
    "gs://bucket/x": "Install its client: pip install google-cloud-storage;",
    "wasbs://box@account.blob.core.windows.net/x": "Install its client: pip install azure-storage-blob azure-identity;",
    "ftp://ann:secret@127.0.0.1:1/x": "Connection refused. See to its address",
    "xyz://nowhere/x": "Could not find a registered artifact repository",
    "dbfs:/x": "credentials",
    "{folder}/nli.tsv": "nli.tsv cannot be written (Not a directory). Make it a folder",
    "/proc/x": "/proc cannot be written",
    "mlflow-artifacts:/0": "the tracking URI must be a valid http or https URI",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_takes_no_artifacts_is_refused_by_commands_and_by_doctor(project, monkeypatch, place):
    MlflowClient(project.uri).create_experiment("x", place.format(folder=project.folder))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "x")

    refused, finding = call("prune", "--base-model", str(project.base), "--layers", "2"), check_tracking_store()

    assert refused.exit_code == 2, refused.output
    assert PLACES[place] in refused.output
    assert "mlflow experiments create -n NAME --artifact-location FOLDER" in refused.output
    assert "step " not in refused.output
    assert "secret" not in refused.output + finding.found
    assert (finding.state, "can be stored in" in finding.found) == ("fail", True)


@pytest.mark.parametrize("place", ["{folder}/new/place", "file://{folder}/new/place"])
def test_a_folder_for_artifacts_that_does_not_exist_yet_is_tried_and_not_made(project, monkeypatch, place):
    MlflowClient(project.uri).create_experiment("x", place.format(folder=project.folder))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "x")

    with open_store(records=True):
        finding = check_tracking_store()

    assert finding.state == "ok"
    assert not (project.folder / "new").exists()


@pytest.mark.parametrize("experiment_id", ["999", "-1", "abc", "0.5"])
def test_an_unknown_experiment_is_refused_by_commands_and_by_doctor(project, monkeypatch, experiment_id):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)

    refused = call("prune", "--base-model", str(project.base), "--layers", "2")
    findings = [check_tracking_store(), check_database(project.uri.replace("sqlite:", "sqlite+pysqlite:"))]

    assert refused.exit_code == 2
    assert f"Error: MLFLOW_EXPERIMENT_ID={experiment_id}: the tracking store has no such experiment." in refused.output
    assert [(finding.state, finding.command) for finding in findings] == [("fail", "unset MLFLOW_EXPERIMENT_ID")] * 2


@pytest.mark.parametrize("key", ["ID", "NAME"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_one_that_is_not_set(project, monkeypatch, key, value):
    monkeypatch.setenv(f"MLFLOW_EXPERIMENT_{key}", value)

    assert (connect().experiment_id, check_tracking_store().state) == ("0", "ok")
