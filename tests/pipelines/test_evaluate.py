"""The results of `evaluate` and `compare` on a real store."""

import json
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner
from hub import Hub, use_hub
from mlflow import MlflowClient

from pipelines.__main__ import main
from pipelines.flows.full import run_full
from pipelines.inputs.base import find_model
from pipelines.inputs.load import load_inputs
from pipelines.steps.context import open_context
from pipelines.steps.rivals import judge_rivals
from sbert_prune.data.quickstart.generator import generate_sts
from sbert_prune.models.sentence import encoder_of, load_saved
from sbert_prune.models.sources import locate_base
from tests.pipelines.conftest import Project, write_rows
from tests.pipelines.faults import collapsed
from tests.stores import change_tags, tags_of

RIVAL = "org/<b>rival</b>"
PICTURES = {"speed.png", "layers.png"}


def call(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def newest(client: MlflowClient, step: str):
    return client.search_runs(["0"], f"tags.sbert_prune.step = '{step}'", order_by=["attributes.start_time DESC"])[0]


def artifact(run, name: str) -> str:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name)).read_text()


def write_classes(folder: Path) -> Path:
    """Write sentences about animals and about music, which any model can separate."""
    folder.mkdir()
    subjects = ("a man", "the woman", "a child", "two girls", "my neighbour", "an old lady")
    actions = {
        "animals": ("feeds the dog", "sees a cat", "rides a horse"),
        "music": ("plays the guitar", "sings a song", "hears the piano"),
    }
    rows = [(f"{subject} {action}", label) for subject in subjects for label in actions for action in actions[label]]
    write_rows(folder / "train.csv", ("text", "label"), rows[:24])
    write_rows(folder / "test.csv", ("Text", "Label"), rows[24:])
    return folder


@pytest.fixture(scope="module")
def made(make_variant, tmp_path_factory: pytest.TempPathFactory):
    """A store with a reference, a variant that is champion, and another variant that is compared with it."""
    with pytest.MonkeyPatch.context() as patch:
        project = make_variant(tmp_path_factory.mktemp("project"))
        project.use(patch)
        call("promote", "--registered-model", "sbert-small", "--version", "2", "--force", "true", "--reason", "test")
        run_full(
            project.recipe(strategy="drop-bottom", classification=f"topics={write_classes(project.folder / 'topics')}"),
            rivals={RIVAL: find_model(str(project.base))},
        )
        yield project, MlflowClient(project.uri)


def test_a_variant_is_compared_with_reference_base_and_champion(made):
    _, client = made

    metrics = client.get_run(client.get_model_version("sbert-small", "3").run_id)
    run = newest(client, "evaluate")

    for rival in ("reference", "base", "champion"):
        names = {f"difference/{rival}{end}" for end in ("", "_low", "_high", "_p_worse")}
        assert names <= set(run.data.metrics)
        assert (
            run.data.metrics[f"difference/{rival}_low"]
            <= run.data.metrics[f"difference/{rival}"]
            <= run.data.metrics[f"difference/{rival}_high"]
        )
    assert newest(client, "evaluate").data.tags["sbert_prune.against_champion"].startswith("models:/m-")
    assert metrics.data.tags["sbert_prune.step"] == "register"


def test_differences_are_those_of_the_scores(made):
    _, client = made
    run, reference, champion = (
        newest(client, "full"),
        *(client.get_model_version("sbert-small", number) for number in ("1", "2")),
    )
    score = run.data.metrics["sts_test/spearman_cosine"]

    assert run.data.metrics["difference/reference"] == pytest.approx(
        score - float(reference.tags["sts_test/spearman_cosine"]), abs=1e-5
    )
    assert run.data.metrics["difference/champion"] == pytest.approx(
        score - float(champion.tags["sts_test/spearman_cosine"]), abs=1e-5
    )
    assert run.data.metrics["quality/retention"] == pytest.approx(
        score / float(reference.tags["sts_test/spearman_cosine"]), abs=1e-4
    )
    intervals = {name for name in run.data.metrics if name.endswith(("_low", "_high", "_p_worse"))}
    assert intervals == {"sts_test/spearman_cosine_low", "sts_test/spearman_cosine_high"}
    low, high = (newest(client, "evaluate").data.metrics[f"quality/retention_{end}"] for end in ("low", "high"))
    assert low <= run.data.metrics["quality/retention"] <= high


def test_the_parent_run_has_the_report_and_its_pictures(made):
    project, client = made
    run = newest(client, "full")

    names = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    report = artifact(run, "report.md")

    assert {
        "report.md",
        "report.html",
        "judgement.json",
        "layers.json",
        "speed.json",
        "variants.png",
    } | PICTURES <= names
    assert "| memory/peak_mb |" in report
    assert report.startswith(f"# Layers 1,2 of {project.base}\n")
    for heading in (
        "Similarity (STS)",
        "Search and classification",
        "Robustness",
        "Embeddings",
        "Size, speed, memory",
        "What each layer does",
    ):
        assert f"\n## {heading}\n" in report
    assert all(f"![{title}]" in report for title in ("Speed beside the base", "Layers beside the base's"))
    assert all(f"| against the {rival} |" in report for rival in ("reference", "base", "champion"))


def test_the_report_begins_with_the_next_step_and_whether_pruning_is_worth_it_beside_the_rivals(made):
    _, client = made
    run = newest(client, "full")

    title, advice, worth, table, *_ = artifact(run, "report.md").split("\n\n")

    assert title.startswith("# Layers 1,2 of ")
    assert advice.startswith("Promotion would be refused: ")
    assert "`mlflow run . -e full -P " in advice
    assert worth.startswith(("Pruning is", "Too close to tell"))
    assert [line.split(" | ")[1] for line in table.splitlines()[2:]] == ["drop-bottom", "none", f"rival {RIVAL}"]
    assert "org/&lt;b&gt;rival" in artifact(run, "report.html")
    assert "<b>" not in artifact(run, "report.html")


def test_a_rival_is_judged_once(made, capsys):
    project, client = made
    recipe = project.recipe()
    inputs = load_inputs(recipe)

    with open_context(recipe) as context:
        results = [judge_rivals(context, recipe, inputs, {RIVAL: inputs.pruning.base})[0] for _ in range(2)]

    runs = client.search_runs(["0"], "tags.sbert_prune.step = 'rival'")
    assert f"rival {RIVAL}: judged by run {runs[0].info.run_id}, which is reused" in capsys.readouterr().out
    assert len(runs) == 2  # the first was judged on classes as well
    assert results[0].score.value == results[1].score.value == runs[0].data.metrics["sts_test/spearman_cosine"]


def test_classification_search_and_robustness_are_on_run_and_version(made):
    _, client = made
    run, tags = newest(client, "full"), tags_of(client, "sbert-small", "3")

    for name in (
        "classification/topics_accuracy",
        "classification/topics_knn_macro_f1",
        "robustness/typos_drop",
        "geometry/anisotropy",
    ):
        assert float(tags[name]) == pytest.approx(run.data.metrics[name], rel=1e-4)
    assert run.data.metrics["classification/topics_accuracy"] > 0.6
    inputs = {entry.dataset.name for entry in newest(client, "evaluate").inputs.dataset_inputs}
    assert inputs == {"dev.csv", "test.csv", "train.csv"}


def test_the_numbers_behind_the_report_are_whole(made):
    _, client = made

    judgement = json.loads(artifact(newest(client, "evaluate"), "judgement.json"))

    assert set(judgement["differences"]) == {"reference", "base", "champion"}
    score = judgement["scores"]["sts_test/spearman_cosine"]
    assert score["low"] < score["value"] < score["high"]
    assert judgement["differences"]["reference"]["sts_test/spearman_cosine"]["verdict"] in {
        "better",
        "worse",
        "not told apart",
        "as good within 0.01",
    }


def test_further_sts_sets_have_metrics_of_their_own(made, tmp_path):
    project, client = made
    rows = [
        (row.sentence1, row.sentence2, round(row.score * 5, 2), "odd" if k % 2 else "even")
        for k, row in enumerate(generate_sts("test", num_pairs=60))
    ]
    write_rows(tmp_path / "genres.csv", ("sentence1", "sentence2", "score", "genre"), rows)
    sets = f"same={project.sts / 'test.csv'},genres={tmp_path / 'genres.csv'}"

    output = call(
        "evaluate",
        "--model",
        str(project.base),
        "--sts-data",
        str(project.sts),
        "--sts-eval",
        sets,
        "--robustness",
        "0",
    )

    metrics = newest(client, "evaluate").data.metrics
    assert metrics["sts_same/spearman_cosine"] == metrics["sts_test/spearman_cosine"]
    assert {"sts_genres/odd_spearman_cosine", "sts_genres/even_spearman_cosine"} <= set(metrics)
    assert "sts_genres/spearman_cosine " in output
    assert not any(name.startswith("robustness/") for name in metrics)


def test_an_external_bare_encoder_is_evaluated_with_the_same_measures(made, tmp_path):
    project, client = made
    encoder_of(load_saved(locate_base(str(project.base)).checkpoint)).save_pretrained(tmp_path / "encoder")
    load_saved(locate_base(str(project.base)).checkpoint).tokenizer.save_pretrained(tmp_path / "encoder")

    call(
        "evaluate",
        "--model",
        str(tmp_path / "encoder"),
        "--sts-data",
        str(project.sts),
        "--reference",
        "models:/sbert-small/1",
    )

    metrics = newest(client, "evaluate").data.metrics
    assert {
        "quality/retention_low",
        "difference/reference",
        "difference/reference_p_worse",
        "speed/latency_p99_ms",
    } <= set(metrics)


@pytest.mark.parametrize("judge", ["evaluate", "full"])
@pytest.mark.parametrize("role", ["trial", "variant"])
def test_a_version_that_was_judged_says_on_what_wherever_it_came_from(made, judge, role):
    """A search's trial has no test pairs; a version of an older release has no key of its evaluation."""
    project, client = made
    before = tags_of(client, "sbert-small", "2")
    tags = [f"sbert_prune.{tag}" for tag in ("sts_test_digest", *(["exam_key"] if role == "trial" else []))]
    for tag in tags:
        change_tags(client, "sbert-small", "2", {tag: None})
    client.set_model_version_tag("sbert-small", "2", "sbert_prune.role", role)

    if judge == "full":
        run_full(project.recipe())
    else:
        call("evaluate", "--model", "models:/sbert-small/2", "--sts-data", str(project.sts), "--robustness", "20")

    after = tags_of(client, "sbert-small", "2")
    assert {tag: after[tag] for tag in tags} == {tag: before[tag] for tag in tags}
    assert after["sbert_prune.role"] == "variant"
    assert len(client.search_model_versions("name='sbert-small'")) == 3


def test_evaluate_changes_no_version_that_says_what_it_was_judged_on(made):
    project, client = made
    before = client.get_model_version("sbert-small", "3").tags

    call("evaluate", "--model", "models:/sbert-small/3", "--sts-data", str(project.sts), "--robustness", "0")

    assert client.get_model_version("sbert-small", "3").tags == before


def test_a_collapsed_model_is_named_in_the_report_of_the_run_that_failed(made, tmp_path):
    project, client = made

    result = CliRunner().invoke(
        main,
        ["evaluate", "--model", str(collapsed(project.base, tmp_path / "collapsed")), "--sts-data", str(project.sts)],
    )

    run = newest(client, "evaluate")
    assert result.exit_code == 2
    assert "it has collapsed" in result.output
    assert run.info.status == "FAILED"
    assert "- broken embeddings: " in artifact(run, "report.md")
    assert "learning rate ten times lower" in artifact(run, "report.md")


def test_models_are_compared_by_version_alias_and_name(made):
    project, client = made

    output = call(
        "compare",
        "1",
        "@champion",
        str(project.base),
        "--registered-model",
        "sbert-small",
        "--sts-data",
        str(project.sts),
        "--robustness",
        "0",
    )

    run = newest(client, "compare")
    names = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    rows = json.loads(artifact(run, "compare.json"))
    assert {"report.md", "compare.png", "compare.json"} <= names
    assert [row["model"] for row in rows] == ["A", "B", "C"]
    champion = client.get_model_version("sbert-small", "2")
    assert rows[1]["sts_test/spearman_cosine"] == pytest.approx(
        float(champion.tags["sts_test/spearman_cosine"]), abs=1e-5
    )
    assert re.search(r"sts_test/spearman_cosine +C +[+-]0\.\d{4} \[", output)
    assert "| A | B | C |" in artifact(run, "report.md")


def test_a_model_compared_with_itself_is_as_good(made):
    project, _ = made

    output = call("compare", f"base,{project.base}", "--sts-data", str(project.sts), "--robustness", "0")

    assert re.search(
        r"sts_test/spearman_cosine +B +\+0\.0000 \[\+0\.0000, \+0\.0000\] +0\.000 +as good within 0\.01", output
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "quickstart"], "compare needs 2 to 26 different models; given: quickstart."),
        (
            ["compare", "quickstart,quickstart"],
            "compare needs 2 to 26 different models; given: quickstart, quickstart.",
        ),
        (["compare", "quickstart", "nowhere"], "nowhere"),
        (["evaluate", "--model", "quickstart", "--sts-eval", "nowhere.tsv"], "'nowhere.tsv' has no name"),
        (
            ["evaluate", "--model", "quickstart", "--sts-eval", "hi=nowhere.tsv"],
            "sts_eval hi: nowhere.tsv does not exist",
        ),
        (
            ["evaluate", "--model", "quickstart", "--classification", "news=nowhere"],
            "classification news: nowhere does not exist",
        ),
        (["full", "--classification", "news=nowhere"], "classification news: nowhere does not exist"),
        (["full", "--seeds", "1"], "seeds=1: write two or more different whole numbers"),
        (["full", "--seeds", "1,1"], "seeds=1,1: write two or more different whole numbers"),
        (["full", "--seeds", "1,b"], "seeds=1,b: write two or more different whole numbers"),
    ],
)
def test_mistakes_are_reported_before_anything_is_written(arguments, message, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert message in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_several_seeds_are_summed_up_over_their_runs(project: Project):
    lines = run_full(project.recipe(), seeds=(1, 2, 3))

    client = MlflowClient(project.uri)
    runs = client.search_runs(["0"], "tags.sbert_prune.step = 'full'")
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    values = [
        float(version.tags["sts_test/spearman_cosine"])
        for version in client.search_model_versions("name='sbert-small'")
        if version.tags["sbert_prune.role"] == "variant"
    ]
    metrics = parent.data.metrics
    assert parent.data.tags["sbert_prune.seeds"] == "1,2,3"
    assert parent.info.run_name == "full L2 drop-top seeds 1,2,3"
    assert len(values) == 3
    assert metrics["sts_test/spearman_cosine"] == pytest.approx(np.mean(values), abs=1e-5)
    assert metrics["sts_test/spearman_cosine_deviation"] == pytest.approx(np.std(values, ddof=1), abs=1e-5)
    assert metrics["quality/retention_low"] < metrics["quality/retention"] < metrics["quality/retention_high"]
    assert any(line.startswith("seeds     1, 2, 3: mean") for line in lines)


def test_a_model_of_a_hub_is_judged_and_logged_beside_ours(made, tmp_path, monkeypatch):
    project, client = made
    with Hub(tmp_path / "hub") as hub:
        commit = hub.add_model("org/encoder", locate_base(str(project.base)).folder)
        use_hub(monkeypatch, hub)

        output = call(
            "evaluate", "--model", "org/encoder", "--sts-data", str(project.sts), "--reference", "models:/sbert-small/1"
        )

    run = newest(client, "evaluate")
    assert f'base_revision": "{commit}' in json.dumps(run.data.tags)
    assert run.data.tags["sbert_prune.base"] == "org/encoder"
    assert run.data.metrics["difference/reference_p_worse"] >= 0
    assert "quality/retention " in output


def test_a_rival_that_cannot_be_evaluated_becomes_a_note(made, tmp_path):
    project, client = made

    broken = str(collapsed(project.base, tmp_path / "c"))
    output = call(
        "evaluate",
        "--model",
        str(project.base),
        "--sts-data",
        str(project.sts),
        "--reference",
        broken,
        "--robustness",
        "0",
    )

    run = newest(client, "evaluate")
    assert run.info.status == "FINISHED"
    assert "difference/reference" not in run.data.metrics
    assert re.search(r"note +not compared with the reference, .*: .* it has collapsed", output)
    assert "not compared with the reference" in artifact(run, "report.md")
    assert "broken embeddings" not in artifact(run, "report.md")


@pytest.mark.slow
def test_a_champion_whose_bytes_are_gone_costs_the_comparison_and_not_the_variant(project: Project):
    run_full(project.recipe(robustness="0"))
    call("promote", "--registered-model", "sbert-small", "--version", "2", "--force", "true", "--reason", "test")
    client = MlflowClient(project.uri)
    champion = tags_of(client, "sbert-small", "2")["sbert_prune.model_id"]
    shutil.rmtree(Path(client.get_logged_model(champion).artifact_location.removeprefix("file://")))

    run_full(project.recipe(robustness="0", strategy="drop-bottom"))

    run = newest(client, "full")
    assert run.info.status == "FINISHED"
    assert client.get_model_version("sbert-small", "3").tags["sbert_prune.strategy"] == "drop-bottom"
    assert "difference/champion" not in run.data.metrics
    assert "difference/reference" in run.data.metrics


@pytest.mark.slow
def test_strategies_that_disagree_are_named(project: Project):
    client = MlflowClient(project.uri)
    settings = {"robustness": "0", "registered_model": "sbert-siblings"}

    run_full(project.recipe(strategy="drop-alternate", **settings))
    first = newest(client, "full")
    for end in ("", "_low", "_high"):
        change_tags(client, "sbert-siblings", "2", {f"sts_test/spearman_cosine{end}": "0.99"})
    run_full(project.recipe(strategy="drop-bottom", **settings))

    keys = {client.get_model_version("sbert-siblings", number).tags["sbert_prune.sibling_key"] for number in ("2", "3")}
    assert len(keys) == 1
    assert "strategies disagree" not in artifact(first, "report.md")
    assert "- strategies disagree: which layers stay matters here: drop-alternate 0.9900, drop-bottom" in artifact(
        newest(client, "full"), "report.md"
    )


def test_a_bare_encoder_takes_the_recipes_pooling(made, tmp_path):
    project, client = made
    base = load_saved(locate_base(str(project.base)).checkpoint)
    encoder_of(base).save_pretrained(tmp_path / "encoder")
    base.tokenizer.save_pretrained(tmp_path / "encoder")
    recipe = (Path("cls.yaml")).resolve()
    recipe.write_text("extends: quickstart\nname: cls\npooling: cls\n")

    for name in ("quickstart", str(recipe)):
        call(
            "evaluate",
            "--model",
            str(tmp_path / "encoder"),
            "--recipe",
            name,
            "--sts-data",
            str(project.sts),
            "--robustness",
            "0",
        )

    cls, mean = client.search_runs(
        ["0"], "tags.sbert_prune.step = 'evaluate'", order_by=["attributes.start_time DESC"], max_results=2
    )
    assert cls.data.metrics["sts_test/spearman_cosine"] != mean.data.metrics["sts_test/spearman_cosine"]
