"""Other ways to a smaller variant: measured strategies, a trimmed vocabulary, a schedule."""

import json
from pathlib import Path

import mlflow
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient
from safetensors.torch import load_file

from pipelines.__main__ import main
from pipelines.flows.full import run_full
from sbert_prune.data.quickstart.generator import generate_nli
from sbert_prune.models.lineage import read_lineage
from sbert_prune.tracking.logged_models import fetch_model
from tests.pipelines.conftest import Project
from tests.pipelines.test_steps import call, model_uri


def artifact(run, path: str) -> str:
    return Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/{path}")).read_text()


def latest(project: Project):
    return MlflowClient(project.uri).search_runs(["0"], order_by=["attributes.start_time DESC"])[0]


def fail(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    return result.output


def test_a_measured_strategy_logs_its_scores_and_a_picture(project: Project):
    output = call("prune", "--layers", "3", "--strategy", "block-influence", *project.data)

    run, lineage = latest(project), read_lineage(fetch_model(model_uri(output)))
    importance = json.loads(artifact(run, "importance/block-influence_12_layers.json"))
    series = MlflowClient(project.uri).get_metric_history(run.info.run_id, "importance/score")
    assert (
        importance["kept_layers"]
        == list(lineage.kept_layers)
        == sorted(sorted(range(12), key=lambda index: -importance["scores"][index])[:3])
    )
    assert [point.value for point in sorted(series, key=lambda point: point.step)] == pytest.approx(
        importance["scores"]
    )
    assert Path(
        mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/importance/similarity_12_layers.png")
    ).is_file()
    assert (lineage.strategy, run.data.tags["sbert_prune.strategy"]) == ("block-influence", "block-influence")
    assert run.data.tags["sbert_prune.kept_layers"] == str(lineage.selection)


def test_a_vocabulary_is_trimmed_to_the_users_corpus_and_recorded(project: Project):
    corpus = project.folder / "corpus.txt"
    corpus.write_text("\n".join(row.premise for row in generate_nli("train", num_scenes=300)))

    output = call("prune", "--layers", "2", "--vocabulary", "3000", "--vocabulary-corpus", str(corpus))

    run, folder = latest(project), fetch_model(model_uri(output))
    trim = read_lineage(folder).trim
    assert (trim.pieces, trim.pieces_before, trim.limit, trim.corpus.name) == (3000, 12_000, "3000", "corpus.txt")
    assert trim.corpus.rows == len(corpus.read_text().splitlines())
    assert load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"].shape[0] == 3000
    assert run.data.metrics["vocabulary/pieces_after"] == 3000
    assert run.data.metrics["vocabulary/bytes_before"] - run.data.metrics["vocabulary/bytes_after"] == 9000 * 128 * 4
    assert run.data.tags["sbert_prune.vocabulary"] == "3000 of 12000"
    assert json.loads(artifact(run, "vocabulary.json"))["digest"] == trim.digest
    assert "3,000 of 12,000 pieces kept" in output


def test_without_a_corpus_the_training_texts_are_what_is_covered(project: Project):
    output = call("prune", "--layers", "12", "--vocabulary", "1.0", *project.data)

    trim, metrics = read_lineage(fetch_model(model_uri(output))).trim, latest(project).data.metrics
    assert trim.corpus.name == "training texts"
    assert trim.pieces < 12_000
    # The generated dev pairs use words that the train split lacks, which the held-out texts of train do not show.
    assert metrics["vocabulary/covered_dev_sentences"] < 0.5 < metrics["vocabulary/covered_sentences"]
    assert "they use words that the corpus lacks. Keep more pieces, or give a wider vocabulary_corpus" in output


def test_a_trimmed_model_is_trimmed_further_and_the_chain_continues(project: Project):
    first = model_uri(call("prune", "--layers", "0,2,4,6", "--vocabulary", "4000", *project.data))

    second = model_uri(call("prune", "--base-model", first, "--layers", "1,3", "--vocabulary", "2000", *project.data))

    lineage = read_lineage(fetch_model(second))
    assert [record.kind for record in lineage.chain] == ["prune", "trim", "prune", "trim"]
    assert (lineage.trim.pieces, lineage.trim.pieces_before) == (2000, 4000)
    assert (lineage.kept_layers, lineage.base.id) == ((2, 6), "quickstart")
    assert len(lineage.base.sha256) == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vocabulary", "100"], "vocabulary=100"),
        (["--vocabulary-corpus", "corpus.txt"], "with vocabulary=all nothing is trimmed to it"),
        (["--vocabulary", "8000", "--vocabulary-corpus", "missing.txt"], "missing.txt does not exist"),
        (["--vocabulary", "8000", "--vocabulary-corpus", "nli.tsv"], "one sentence a line"),
    ],
)
def test_an_impossible_vocabulary_is_refused_before_a_run_is_opened(untouched: Project, arguments, message):
    (untouched.folder / "corpus.txt").write_text("a\n")

    output = fail("prune", *arguments, *untouched.data)

    assert message in output
    assert not (untouched.folder / "mlflow.db").exists()


def test_a_pickled_base_is_read_only_when_asked_for(project: Project, tiny_base):
    base = tiny_base(depth=3, name="pickled")
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    refused = fail("prune", "--base-model", str(base), "--layers", "1", "--max-seq-length", "32")
    assert "Have it converted with convert_pickle=true" in refused

    output = call(
        "prune", "--base-model", str(base), "--layers", "1", "--max-seq-length", "32", "--convert-pickle", "true"
    )

    assert read_lineage(fetch_model(model_uri(output))).base.id == str(base)


@pytest.mark.slow
def test_a_schedule_trains_after_every_cut_and_begins_with_the_reference(project: Project):
    run_full(project.recipe(layers="1", schedule="3,2,1", vocabulary="5000"))

    client = MlflowClient(project.uri)
    reference, variant = client.get_model_version("sbert-small", "1"), client.get_model_version("sbert-small", "2")
    lineage = read_lineage(fetch_model("models:/sbert-small/2"))
    assert reference.tags["sbert_prune.role"] == "reference"
    assert reference.tags.get("sbert_prune.vocabulary") is None
    assert [record.kind for record in lineage.chain] == [
        "train",
        "train",
        "prune",
        "trim",
        "train",
        "train",
        "prune",
        "train",
        "train",
    ]
    assert [record.kept_layers for record in lineage.chain if record.kind == "prune"] == [(0, 1), (0,)]
    assert (variant.tags["sbert_prune.kept_layers"], variant.tags["sbert_prune.vocabulary"]) == ("0", "5000 of 12000")


@pytest.mark.slow
def test_all_layers_with_a_smaller_vocabulary_is_a_variant_not_the_reference(project: Project):
    run_full(project.recipe(layers="3", vocabulary="5000", nli__max_rows="60"))

    client = MlflowClient(project.uri)
    roles = {
        version.version: version.tags["sbert_prune.role"]
        for version in client.search_model_versions("name='sbert-small'")
    }
    assert roles == {1: "reference", 2: "variant"}
    assert "5000 of 12000 pieces" in client.get_model_version("sbert-small", "2").description
