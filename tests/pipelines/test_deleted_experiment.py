"""A deleted experiment is reported with the command that restores it, and nothing is lost until then."""

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main
from pipelines.doctor.disk import check_undelivered
from pipelines.doctor.store import check_database, check_tracking_store
from sbert_prune.tracking.spool import Entry, Spool
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
