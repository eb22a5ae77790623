"""`json=true`: one object on standard output, with the lines, progress and notes on standard error."""

import json

import pytest
from mlflow import MlflowClient

from tests.in_process import call
from tests.pipelines.conftest import Project
from tests.stores import tags_of

NAME = ("--registered-model", "sbert-small")


@pytest.fixture(scope="module")
def made(make_variant, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A store with a reference and a variant, which is the champion."""
    project = make_variant(tmp_path_factory.mktemp("project"))
    done = call(
        project.folder,
        *("promote", *NAME, "--version", "2", "--force", "--reason", "test"),
        MLFLOW_TRACKING_URI=project.uri,
    )
    assert done.exit_code == 0, done.output
    return project


def facts(project: Project, *arguments: str) -> dict:
    """Return the object that a command prints; its lines are elsewhere."""
    done = call(project.folder, *arguments, *NAME, "--json", MLFLOW_TRACKING_URI=project.uri)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr
    return json.loads(done.stdout)


def test_history_and_verify_print_their_rows(made):
    history, verified = facts(made, "history"), facts(made, "verify")

    assert [version["version"] for version in history["versions"]] == ["1", "2"]
    assert [(event["what"], event["version"]) for event in history["events"]][-1] == ("promoted", "2")
    assert history["aliases"]["champion"] == "2"
    assert verified == {"versions": {"sbert-small": 2}, "findings": [], "open": 0}


def test_verify_prints_its_findings_and_keeps_its_exit_status(made):
    client = MlflowClient(made.uri)
    client.set_registered_model_alias("sbert-small", "champion", "1")

    done = call(made.folder, "verify", *NAME, "--json", "true", MLFLOW_TRACKING_URI=made.uri)

    client.set_registered_model_alias("sbert-small", "champion", "2")
    (finding,) = json.loads(done.stdout)["findings"]
    assert done.exit_code == 5
    assert finding["about"] == "alias champion"
    assert finding["to_do"].startswith("repair=true moves it")


@pytest.mark.parametrize("name", ["2", "@champion"])
def test_evaluate_takes_a_version_and_an_alias_and_prints_its_metrics(made, name):
    client = MlflowClient(made.uri)
    given = ("--model", name, "--reference", "1", "--sts-data", str(made.sts), "--robustness", "0")

    evaluated = facts(made, "evaluate", *given)

    tags = tags_of(client, "sbert-small", "2")
    assert evaluated["model"] == f"models:/{tags['sbert_prune.model_id']}"
    test_score = float(tags["sts_test/spearman_cosine"])
    assert evaluated["metrics"]["sts_test/spearman_cosine"] == pytest.approx(test_score, abs=1e-5)
    assert "quality/retention" in evaluated["metrics"]
    assert client.get_run(evaluated["run_id"]).info.status == "FINISHED"


def test_compare_prints_each_model_and_the_differences_to_the_first(made):
    compared = facts(made, "compare", "1", "@champion", "--sts-data", str(made.sts), "--robustness", "0")

    assert [model["model"] for model in compared["models"]] == ["A", "B"]
    difference = next(row for row in compared["differences"] if row["metric"] == "sts_test/spearman_cosine")
    scores = [model["sts_test/spearman_cosine"] for model in compared["models"]]
    assert difference["model"] == "B"
    assert difference["value"] == pytest.approx(scores[1] - scores[0], abs=1e-6)
    assert difference["low"] <= difference["value"] <= difference["high"]


def test_full_prints_the_variant_the_reference_and_the_next_step(made):
    given = ("--layers", "2", "--sts-epochs", "1", "--robustness", "20", "--precision", "float32")

    printed = facts(made, "full", *made.given, *given)

    assert printed["variant"]["model"] == "models:/sbert-small/2"
    assert printed["reference"]["model"] == "models:/sbert-small/1"
    assert printed["variant"]["kept_layers"] == "0,1"
    assert "quality/retention" in printed["variant"]["metrics"]
    assert "promote" in printed or printed["refusals"]
