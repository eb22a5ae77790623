"""Finished steps are reused, and a line names the run that they come from."""

import re

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from pipelines.__main__ import main
from sbert_prune.registry.version import unpack_tags
from tests.pipelines.conftest import RECIPE, Project


@pytest.fixture(scope="module")
def project(make_variant, tmp_path_factory: pytest.TempPathFactory):
    """A store in which `full` has run once."""
    with pytest.MonkeyPatch.context() as patch:
        project = make_variant(tmp_path_factory.mktemp("project"))
        project.use(patch)
        yield project


def run(command: str, project: Project, *more: str) -> Result:
    data = {"full": project.data, "train_sts": project.data[2:], "evaluate": project.data[2:]}
    base = ("--base-model", str(project.base)) if command in {"full", "prune"} else ()
    recipe = ("--recipe", RECIPE) if command != "register" else ()
    arguments = [*recipe, *base, *data.get(command, ())]
    arguments += ["--layers", "2"] if command in {"full", "prune"} else []
    arguments += ["--registered-model", "sbert-small"]
    arguments += ["--robustness", "20"] if command in {"full", "evaluate"} else []
    arguments += ["--sts-epochs", "1", "--precision", "float32"] if command in {"full", "train_sts"} else []
    result = CliRunner().invoke(main, [command, *arguments, *more])
    assert result.exit_code == 0, result.output
    return result


def versions(project: Project) -> dict[str, dict[str, str]]:
    return {
        str(version.version): unpack_tags(version.tags)
        for version in MlflowClient(project.uri).search_model_versions("name='sbert-small'")
    }


def parent(project: Project):
    runs = MlflowClient(project.uri).search_runs(
        ["0"], "tags.sbert_prune.step = 'full'", order_by=["attributes.start_time DESC"]
    )
    return next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)


def model_in(result: Result) -> str:
    match = re.search(r"^model\s+(\S+)", result.output, re.MULTILINE)
    assert match is not None
    return match[1]


def test_the_same_full_makes_nothing_and_its_run_has_the_same_record(project):
    before, first = versions(project), parent(project)
    client = MlflowClient(project.uri)

    again = run("full", project)

    assert versions(project) == before
    assert f"run {before['2']['sbert_prune.run_id']}" in again.output
    assert "step train_nli" not in again.output
    second = parent(project)
    assert second.info.run_id != first.info.run_id
    assert second.data.tags["sbert_prune.reused_from"] == before["2"]["sbert_prune.run_id"]
    assert second.data.metrics.keys() == first.data.metrics.keys()
    files = [{item.path for item in client.list_artifacts(full_run.info.run_id)} for full_run in (first, second)]
    assert files[0] == files[1] >= {"report.md", "speed.png"}


def test_the_same_data_at_another_place_is_the_same(project, tmp_path, make_project):
    before = versions(project)
    moved = make_project(tmp_path / "moved")

    again = run("full", moved)

    assert "is the same, and is reused" in again.output
    assert versions(project) == before


@pytest.mark.slow
def test_other_data_are_another_variant(project, tmp_path, make_project):
    before = versions(project)
    other = make_project(tmp_path / "other")
    lines = (other.sts / "train.csv").read_text().splitlines()
    (other.sts / "train.csv").write_text("\n".join(lines[:-1]) + "\n")

    run("full", other)

    made = versions(project)
    assert len(made) == len(before) + 2, "a reference and a variant"
    assert {key: made[key] for key in before} == before


def test_further_data_are_evaluated_without_training_again(project, tmp_path):
    before = versions(project)

    again = run("full", project, "--sts-eval", f"again={project.sts}")

    made = versions(project)
    assert made.keys() == before.keys()
    assert "step train_sts" not in again.output
    assert "step evaluate" in again.output
    assert "sts_again/spearman_cosine" in made["2"]
    assert "sts_again/spearman_cosine" in parent(project).data.metrics
    assert made["2"]["sbert_prune.model_sha256"] == before["2"]["sbert_prune.model_sha256"]


def test_force_makes_a_version_of_the_same_bytes(project):
    before = versions(project)

    run("full", project, "--force", "true")

    made = versions(project)
    (new,) = made.keys() - before.keys()
    assert made[new]["sbert_prune.fingerprint"] == before["2"]["sbert_prune.fingerprint"]


def test_a_single_step_is_taken_from_the_run_that_did_it_and_full_takes_it_too(project):
    first = run("prune", project, "--layers", "0,2")
    again = run("prune", project, "--layers", "0,2")

    assert model_in(first) == model_in(again)
    made_by = MlflowClient(project.uri).get_logged_model(model_in(first).removeprefix("models:/")).source_run_id
    assert f"the same was done by run {made_by}" in again.output
    forced = run("prune", project, "--layers", "0,2", "--force", "true")
    assert model_in(forced) != model_in(first)

    whole = run("full", project, "--layers", "0,2")
    assert "step prune: the same was done by run" in whole.output
    assert "step train_nli: the same" not in whole.output


def test_a_result_that_was_deleted_is_made_again(project):
    first = model_in(run("prune", project, "--layers", "1", "--strategy", "drop-bottom"))
    MlflowClient(project.uri).delete_logged_model(first.removeprefix("models:/"))

    assert model_in(run("prune", project, "--layers", "1", "--strategy", "drop-bottom")) != first


def test_the_same_evaluation_does_not_run_twice(project):
    first = run("evaluate", project, "--model", "models:/sbert-small/2")
    again = run("evaluate", project, "--model", "models:/sbert-small/2")

    assert "the same was judged by run" not in first.output
    assert "the same was judged by run" in again.output
    scores = [
        re.findall(r"^sts_test/spearman_cosine +(\d\.\d{4})", result.output, re.MULTILINE) for result in (first, again)
    ]
    assert scores[0] == scores[1] != []


def test_a_model_that_is_registered_twice_is_one_version_with_the_newest_metrics(project):
    trained = model_in(run("train_sts", project, "--model", model_in(run("prune", project, "--layers", "1,2"))))
    run("register", project, "--model", trained)
    before = versions(project)
    newest = max(before, key=int)
    assert "sts_test/spearman_cosine" not in before[newest]

    run("evaluate", project, "--model", trained)
    again = run("register", project, "--model", trained)

    assert f"version {newest} of sbert-small is the same model" in again.output
    assert versions(project).keys() == before.keys()
    assert "sts_test/spearman_cosine" in versions(project)[newest]


def test_a_model_that_is_registered_again_without_an_evaluation_is_the_same_version(project):
    trained = model_in(
        run(
            "train_sts",
            project,
            "--model",
            model_in(run("prune", project, "--layers", "1", "--strategy", "drop-bottom")),
        )
    )
    run("register", project, "--model", trained)
    before = versions(project)

    again = run("register", project, "--model", trained)

    assert (
        f"version {max(before, key=int)} of sbert-small is the same model, not evaluated on its pairs since"
        in again.output
    )
    assert versions(project) == before


def test_models_between_the_steps_are_kept_on_request_alone(project):
    client = MlflowClient(project.uri)
    before = {model.model_id for model in client.search_logged_models(["0"])}

    run("full", project, "--layers", "1", "--keep-intermediate", "true")

    made = [model for model in client.search_logged_models(["0"]) if model.model_id not in before]
    steps = [client.get_run(model.source_run_id).data.tags["sbert_prune.step"] for model in made]
    assert sorted(steps) == ["prune", "register", "train_nli", "train_sts"]
    assert not (project.folder / ".sbert-prune").exists()


def test_nothing_is_left_in_the_working_folder(project):
    assert not (project.folder / ".sbert-prune").exists()
