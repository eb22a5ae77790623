"""`full` on a real store: its runs, versions and artifacts are what users build on."""

import json
import math
import re
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sentence_transformers import SentenceTransformer

from pipelines.flows.full import run_full
from sbert_prune.metrics import metric_of
from tests.pipelines.conftest import Project
from tests.stores import tags_of

METRICS = {
    "sts_dev/spearman_cosine",
    "sts_test/spearman_cosine",
    "sts_test/spearman_cosine_low",
    "sts_test/spearman_cosine_high",
    "sts_test/pearson_cosine",
    "quality/retention",
    "size/parameters",
    "size/embedding_parameters",
    "size/disk_mb",
    "speed/latency_p50_ms",
    "speed/latency_p95_ms",
    "speed/sentences_per_s",
    "speed/speedup",
    "roundtrip/max_abs_diff",
}
SENTENCES = ["A dog runs.", "Nobody is playing the piano in the garden.", "x"]


@pytest.fixture(scope="module")
def made(make_variant, tmp_path_factory: pytest.TempPathFactory):
    """Two variants of one recipe, made one after the other in one store."""
    with pytest.MonkeyPatch.context() as patch:
        project = make_variant(tmp_path_factory.mktemp("project"))
        project.use(patch)
        output = run_full(project.recipe(layers="0,2"))
        yield project, MlflowClient(project.uri), output


def parents(client: MlflowClient) -> list:
    runs = client.search_runs(["0"], order_by=["attributes.start_time ASC"])
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def children(client: MlflowClient, run_id: str) -> list:
    return client.search_runs(["0"], f"tags.mlflow.parentRunId = '{run_id}'", order_by=["attributes.start_time ASC"])


def version_folder(number: int) -> Path:
    return Path(mlflow.artifacts.download_artifacts(f"models:/sbert-small/{number}")) / "model.sentence_transformer"


def test_one_parent_run_a_command_with_a_child_a_step(made):
    _, client, _ = made

    first, second = parents(client)

    assert [first.info.run_name, second.info.run_name] == ["full L2 drop-top s42", "full L2 explicit s42"]
    assert [run.info.run_name for run in children(client, first.info.run_id)] == [
        "reference L3 s42",
        "prune",
        "train_nli",
        "train_sts",
        "evaluate",
        "register",
    ]
    for run in client.search_runs(["0"]):
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.note.content"]
        assert not {"", "-"} & set(run.data.params.values())


def test_every_metric_is_a_row_of_the_table(made):
    _, client, _ = made

    logged = {name for run in client.search_runs(["0"]) for name in run.data.metrics}

    assert len(logged) > 50
    assert [name for name in sorted(logged) if metric_of(name) is None and not name.startswith("system/")] == []


def test_the_reference_is_built_once_and_reused(made):
    _, client, output = made

    versions = client.search_model_versions("name='sbert-small'")

    assert sorted(int(version.tags["sbert_prune.num_layers"]) for version in versions) == [2, 2, 3]
    assert "reference L3 s42" not in [run.info.run_name for run in children(client, parents(client)[1].info.run_id)]
    assert "version 1)" in "\n".join(output)


def test_the_parent_run_carries_every_final_metric(made):
    _, client, _ = made

    for run in parents(client):
        assert re.search(r"models:/\S+, (variant|reference): layers .*STS test 0", run.data.tags["mlflow.note.content"])
        assert set(run.data.metrics) >= METRICS
        assert all(math.isfinite(value) for value in run.data.metrics.values())
        assert run.data.metrics["sts_test/spearman_cosine_low"] <= run.data.metrics["sts_test/spearman_cosine"]


def test_the_parent_run_carries_recipe_tags_and_artifacts(made):
    project, client, _ = made
    run = parents(client)[1]

    artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}

    assert {"recipe.json", "variants.png"} <= artifacts
    assert run.data.params["recipe.nli.data"] == str(project.nli)
    assert run.data.params["kept_layers"] == "0,2"
    assert {
        key: run.data.tags[f"sbert_prune.{key}"]
        for key in ("step", "recipe", "kept_layers", "depth", "num_layers", "strategy", "seed")
    } == {
        "step": "full",
        "recipe": "quickstart-paper",
        "kept_layers": "0,2",
        "depth": "3",
        "num_layers": "2",
        "strategy": "explicit",
        "seed": "42",
    }


def test_the_parent_run_shows_the_data_it_read_and_the_model_it_made(made):
    _, client, _ = made
    run = parents(client)[0]

    names = {entry.dataset.name for entry in run.inputs.dataset_inputs}

    assert names == {"nli.tsv", "train.csv", "dev.csv", "test.csv"}
    assert [output.model_id for output in run.outputs.model_outputs] == [
        tags_of(client, "sbert-small", "2")["sbert_prune.model_id"]
    ]


def test_training_runs_have_their_data_as_inputs_with_digests(made):
    _, client, _ = made
    first = parents(client)[0]
    steps = {run.info.run_name: run for run in children(client, first.info.run_id)}

    (nli,) = steps["train_nli"].inputs.dataset_inputs
    evaluated = {entry.dataset.name for entry in steps["evaluate"].inputs.dataset_inputs}

    assert nli.dataset.name == "nli.tsv"
    assert len(nli.dataset.digest) == 16
    assert json.loads(nli.dataset.source)["uri"] == first.data.params["recipe.nli.data"]
    assert evaluated == {"dev.csv", "test.csv"}
    assert client.get_metric_history(steps["train_sts"].info.run_id, "sts/loss")


def test_the_experiment_is_marked_as_training_models(made):
    _, client, _ = made

    assert client.get_experiment("0").tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_version_repeats_its_lineage_in_its_tags(made):
    project, client, _ = made

    version, tags = client.get_model_version("sbert-small", "3"), tags_of(client, "sbert-small", "3")

    assert len(version.tags) <= 25
    assert version.tags["sbert_prune.kept_layers"] == "0,2"
    assert version.tags["sbert_prune.strategy"] == "explicit"
    assert tags["sbert_prune.recipe_digest"] == project.recipe(layers="0,2").digest
    assert len(tags["sbert_prune.base_sha256"]) == 64
    assert set(tags) >= METRICS
    assert version.description.startswith("variant: layers 0,2 of 3 (explicit), STS test ")
    assert {
        "sbert_prune.nli_run_id",
        "sbert_prune.sts_digest",
        "sbert_prune.model_sha256",
        "sbert_prune.parent_run_id",
    } <= set(tags)


def test_the_models_folder_has_the_whole_lineage(made):
    project, _, _ = made

    lineage = json.loads((version_folder(3) / "pruning.json").read_text())

    assert lineage["kept_layers"] == [0, 2]
    assert lineage["base"]["depth"] == 3
    assert [(change["kind"], change.get("phase")) for change in lineage["chain"]] == [
        ("prune", None),
        ("train", "nli"),
        ("train", "sts"),
    ]
    assert lineage["chain"][1]["data"]["source"] == str(project.nli)
    assert lineage["chain"][2]["settings"]["epochs"] == 1.0


def test_a_version_loads_in_three_ways_with_equal_embeddings(made):
    folder = version_folder(2)
    expected = SentenceTransformer(str(folder), device="cpu").encode(SENTENCES)

    flavour = mlflow.sentence_transformers.load_model("models:/sbert-small/2")
    generic = mlflow.pyfunc.load_model("models:/sbert-small/2")

    assert len(flavour[0].auto_model.encoder.layer) == 2
    np.testing.assert_allclose(flavour.encode(SENTENCES), expected, atol=1e-5)
    np.testing.assert_allclose(generic.predict(SENTENCES), expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)


def test_a_version_states_its_signature(made):
    signature = mlflow.models.get_model_info("models:/sbert-small/2").signature

    assert signature.inputs.input_types()[0].name == "string"
    (output,) = signature.outputs.inputs
    assert (output.type, output.shape) == (np.dtype("float32"), (-1, 32))


def test_the_ten_lines_show_quality_size_speed_and_what_to_do_next(made):
    _, _, output = made

    words = [line.split(maxsplit=1)[0] for line in output if line]

    lines = ["variant", "quality", "retention", "size", "speed", "proof", "model", "load", "see", "promote"]
    assert words in (lines, [*lines, "try"])  # where promote would refuse
    assert 'load_model("models:/sbert-small/3")' in "\n".join(output)


def test_the_same_recipe_gives_the_same_weights(made):
    project, client, _ = made

    run_full(project.recipe(), force=True)

    again, first = (tags_of(client, "sbert-small", number) for number in ("4", "2"))
    assert again["sbert_prune.model_sha256"] == first["sbert_prune.model_sha256"]


def test_keeping_all_layers_makes_the_reference_alone(project: Project):
    lines = run_full(project.recipe(layers="3"))

    (version,) = MlflowClient(project.uri).search_model_versions("name='sbert-small'")
    assert version.tags["sbert_prune.num_layers"] == "3"
    assert "retention 100.0%" in "\n".join(lines)


@pytest.mark.slow
def test_hidden_test_scores_lead_to_a_result_without_a_test_score(make_project, tmp_path, monkeypatch):
    project = make_project(tmp_path / "hidden")
    project.use(monkeypatch)
    header, *lines = (project.sts / "test.csv").read_text(encoding="utf-8").splitlines()
    hidden = [header, *(f"{line.rpartition(',')[0]},-1" for line in lines)]
    (project.sts / "test.csv").write_text("\n".join(hidden), encoding="utf-8")

    run_full(project.recipe())

    metrics = parents(MlflowClient(project.uri))[-1].data.metrics
    assert "sts_dev/spearman_cosine" in metrics
    assert not [name for name in metrics if name.startswith(("sts_test/", "quality/retention", "difference/"))]
