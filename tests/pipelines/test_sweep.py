"""`sweep` makes every depth by every strategy, each selection of layers once, and draws them."""

import json
import re
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main
from tests.pipelines.conftest import Project

SHORT = (
    "--sts-epochs",
    "0.5",
    "--nli-max-rows",
    "40",
    "--robustness",
    "0",
    "--precision",
    "float32",
    "--registered-model",
    "sbert-small",
)


def sweep(project: Project, *options: str):
    return CliRunner().invoke(main, ["sweep", *project.given, *SHORT, *options])


@pytest.fixture(scope="module")
def swept(make_project, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        project = make_project(tmp_path_factory.mktemp("project"))
        project.use(patch)
        swept = ("--depths", "3,2,1", "--strategies", "drop-top,drop-middle", "--rivals", str(project.base))
        done = sweep(project, *swept)
        assert done.exit_code == 0, done.output
        yield project, MlflowClient(project.uri), done.output


def top_run(client: MlflowClient):
    (run,) = client.search_runs(
        ["0"], "tags.sbert_prune.step = 'sweep'", order_by=["attributes.start_time DESC"], max_results=1
    )
    return run


@pytest.mark.slow
def test_each_selection_is_made_once_and_registered(swept):
    _, client, output = swept

    kept = {
        str(version.version): version.tags["sbert_prune.kept_layers"]
        for version in client.search_model_versions("name='sbert-small'")
    }
    assert kept == {"1": "0-2", "2": "0,1", "3": "0,2", "4": "0"}
    assert "drop-middle to 1 layers keeps 0, as drop-top does: models:/sbert-small/4" in output
    assert output.count("step train_nli") == 4


@pytest.mark.slow
def test_the_parent_run_has_table_picture_and_numbers(swept):
    project, client, output = swept
    run = top_run(client)
    files = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    report = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="report.md")).read_text()
    numbers = json.loads(
        Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="curve.json")).read_text()
    )

    assert run.info.run_name == "sweep L3,2,1 drop-top,drop-middle s42"
    assert run.info.status == "FINISHED"
    assert {"report.md", "report.html", "curve.png", "curve.json", "recipe.json"} <= files
    assert [row["layers"] for row in numbers] == [3, 2, 2, 1, 3]
    assert numbers[3]["strategies"] == ["drop-top", "drop-middle"]
    assert [line.split(" | ")[:3] for line in report.splitlines() if line.startswith("| ")][2:] == [
        ["| 3", "drop-top, drop-middle", "0-2"],
        ["| 3", f"rival {project.base}", "all"],
        ["| 2", "drop-top", "0,1"],
        ["| 2", "drop-middle", "0,2"],
        ["| 1", "drop-top, drop-middle", "0"],
    ]
    lead = report.split("\n\n")[1]
    assert lead.startswith("The smallest that is as good as the reference: 1 layers (drop-top, drop-middle), ")
    assert "Promotable: `mlflow run . -e promote " in lead
    assert str(project.base) in lead
    assert "knee      " in output
    assert not any("rival" in name for name in run.data.metrics)
    history = client.get_metric_history(run.info.run_id, "curve/drop-top/sts_dev/spearman_cosine")
    assert [point.step for point in history] == [3, 2, 1]
    children = client.search_runs(["0"], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert len(children) == 5  # the rival is judged in one of them


@pytest.mark.slow
def test_the_same_sweep_again_makes_nothing_and_what_a_further_strategy_chooses_alone_is_made(swept):
    project, _, _ = swept

    done = sweep(project, "--depths", "3,2,1", "--strategies", "drop-top,drop-middle,drop-bottom")

    assert done.exit_code == 0, done.output
    assert done.output.count("step train_nli") == 2
    assert re.findall(r"^  (\d+) +drop-", done.output, flags=re.M) == ["3", "2", "2", "2", "1", "1"]


@pytest.mark.slow
def test_a_variant_that_cannot_be_made_is_named_and_the_others_are_made(swept):
    project, client, _ = swept

    done = sweep(
        project,
        "--depths",
        "2,1",
        "--strategies",
        "drop-top",
        "--sts-learning-rate",
        "1",
        "--nli-learning-rate",
        "1",
        "--precision",
        "float32",
    )

    assert done.exit_code == 2, done.output
    assert "Error: " in done.output
    assert top_run(client).info.status == "FAILED"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--depths", "6,x"],
            "depths=6,x: write different numbers of layers with commas between them, such as 12,8,6,4,3,2,1.",
        ),
        (["--depths", "6,6"], "depths=6,6: write different numbers"),
        (["--depths", "13"], "layers=13 cannot be kept: the encoder has 3 layers."),
        (["--depths", "0"], "layers=0 cannot be kept"),
        (["--strategies", "drop-top,drop-top"], "strategies=drop-top,drop-top: write each strategy once"),
        (["--strategies", "drop-top,"], "write each strategy once"),
        (["--rivals", "nowhere"], "rivals=nowhere: there is no folder of this name"),
        (["--rivals", "a,,a"], "rivals=a,,a: write each model once, with commas between them"),
        (["--strategies", "drop-tip"], "strategy=drop-tip: there is no such strategy. Did you mean 'drop-top'?"),
        (["--layers", "6"], "layers: sweep has no such parameter"),
    ],
)
def test_mistakes_are_reported_before_anything_is_written(untouched, options, message):
    done = sweep(untouched, *options)

    assert done.exit_code == 2
    assert message in done.output
    assert not (untouched.folder / "mlflow.db").exists()


def test_a_plan_times_each_depth_once(untouched):
    done = sweep(
        untouched,
        "--plan",
        "true",
        "--depths",
        "3,2",
        "--strategies",
        "drop-top,drop-bottom",
        "--phases",
        "sts",
        "--max-seq-length",
        "16",
    )

    assert done.exit_code == 0, done.output
    assert done.output.count("train     variant 2 layers, sts:") == 1
    assert ", 2 times\n" in done.output
    assert "train     reference, sts:" in done.output
    assert not (untouched.folder / "mlflow.db").exists()
