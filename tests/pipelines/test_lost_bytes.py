"""A later evaluation does not change a registered version; lost bytes are noticed and made again."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from pipelines.__main__ import main
from sbert_prune.evaluation.dev_pairs import FILE_NAME
from tests.pipelines.conftest import Project
from tests.stores import tags_of

NAME = "sbert-small"
SHORT = ("--layers", "2", "--sts-epochs", "1", "--robustness", "20", "--precision", "float32")


@pytest.fixture(scope="module")
def made(make_variant, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        project = make_variant(tmp_path_factory.mktemp("made"))
        project.use(patch)
        yield project


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(main, [arguments[0], "--registered-model", NAME, *arguments[1:]])
    assert done.exit_code == 0, done.output
    return done


def tags(project: Project, number: str) -> dict[str, str]:
    return tags_of(MlflowClient(project.uri), NAME, number)


def files(project: Project, number: str) -> Path:
    return project.folder / "mlruns" / "0" / "models" / tags(project, number)["sbert_prune.model_id"] / "artifacts"


def test_an_evaluation_on_other_pairs_leaves_a_version_as_it_was(made, make_project, tmp_path):
    other = make_project(tmp_path / "other")
    rows = (other.sts / "dev.csv").read_text().splitlines()
    (other.sts / "dev.csv").write_text("\n".join(rows[:41]) + "\n")
    before, pairs = tags(made, "2"), (files(made, "2") / FILE_NAME).read_bytes()

    run("evaluate", "--model", f"models:/{NAME}/2", "--sts-data", str(other.sts), "--robustness", "0")
    output = run("register", "--model", f"models:/{NAME}/2").output

    assert tags(made, "2") | {"sbert_prune.evaluate_run_id": ""} == before | {"sbert_prune.evaluate_run_id": ""}
    assert (files(made, "2") / FILE_NAME).read_bytes() == pairs
    assert f"models:/{NAME}/2" in output
    assert "every version matches its record" in run("verify").output


def test_an_evaluation_on_the_same_pairs_replaces_the_one_before(made):
    before = tags(made, "2")

    run("evaluate", "--model", f"models:/{NAME}/2", "--sts-data", str(made.sts), "--robustness", "0", "--force", "true")
    run("register", "--model", f"models:/{NAME}/2")

    now = tags(made, "2")
    assert now["sbert_prune.evaluate_run_id"] != before["sbert_prune.evaluate_run_id"]
    assert now["sts_dev/spearman_cosine"] == before["sts_dev/spearman_cosine"]
    assert "every version matches its record" in run("verify").output


def test_a_model_registered_by_hand_records_the_pairs_that_it_was_evaluated_on(made, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(files(made, "2") / "model.sentence_transformer", folder)

    run("evaluate", "--model", str(folder), "--sts-data", str(made.sts), "--robustness", "0")
    run("register", "--model", str(folder), "--force", "true")

    now = tags(made, "3")
    assert now["sbert_prune.sts_dev_digest"] == tags(made, "2")["sbert_prune.sts_dev_digest"]
    assert (files(made, "3") / FILE_NAME).read_bytes() == (files(made, "2") / FILE_NAME).read_bytes()
    assert float(now["sts_test/spearman_cosine"]) == float(tags(made, "2")["sts_test/spearman_cosine"])
    assert "every version matches its record" in run("verify").output


@pytest.mark.slow
def test_lost_bytes_of_variant_and_reference_are_noticed_and_made_again(made):
    for number in ("1", "2"):
        shutil.rmtree(files(made, number))
    count = len(MlflowClient(made.uri).search_model_versions(f"name='{NAME}'"))

    output = run("full", *made.given, *SHORT).output

    assert "reference: the bytes of version 1 of sbert-small are gone, so it is trained again" in output
    again = {
        str(version.version): dict(version.tags)
        for version in MlflowClient(made.uri).search_model_versions(f"name='{NAME}'")
    }
    assert len(again) == count + 2
    newest = str(count + 2)
    assert again[newest]["sbert_prune.fingerprint"] == again["2"]["sbert_prune.fingerprint"]
    assert (files(made, newest) / "MLmodel").is_file()
