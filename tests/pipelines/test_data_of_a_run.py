"""Checks of the data before training are printed and recorded."""

import csv
import json
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from pipelines.flows.full import run_full
from sbert_prune.errors import DataError
from sbert_prune.inputs.data import find_texts

DEVANAGARI = "sentence1\tsentence2\tscore\n" + "".join(
    f"घर क्रमांक {number} नदीच्या काठावर आहे\tएक माणूस {number} झाडे लावतो\t{number % 6}\n" for number in range(60)
)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture
def leaky(project):
    """The project with two test pairs and one dev sentence in train."""
    (left, right, score), second = rows_of(project.sts / "test.csv")[:2]
    sentence = rows_of(project.sts / "dev.csv")[0][0]
    with (project.sts / "train.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [second, (right, left.upper(), score), (f"{sentence}!", "something that stands nowhere else", "2")]
        )
    return project


def parent_of(project):
    client = MlflowClient(project.uri)
    return client, next(run for run in client.search_runs(["0"]) if run.info.run_name.startswith("full"))


def test_leaks_are_left_out_and_recorded(leaky, capsys):
    run_full(leaky.recipe(layers="3", phases="sts", sts__max_rows="8"))

    output = capsys.readouterr().out
    client, parent = parent_of(leaky)
    steps = [run for run in client.search_runs(["0"]) if run.info.run_name == "train_sts"]
    recorded = json.loads(
        Path(mlflow.artifacts.download_artifacts(run_id=parent.info.run_id, artifact_path="leaks.json")).read_text()
    )
    assert "96 rows, 3 that are also in dev or test left out (keep_leaks=true keeps them)" in output
    assert {run.data.metrics["sts/leaks"] for run in steps} == {3.0}
    assert {run.data.metrics["sts/rows"] for run in steps} == {96.0}
    assert recorded["sts"]["test"] == {"exact_pairs": 1, "pairs": 2, "exact_sentences": 2, "sentences": 2}
    assert recorded["sts"]["dev"]["sentences"] == 1
    assert recorded["sts"]["left_out"] == 3
    assert "text/pieces_per_word" in parent.data.metrics


def test_leaks_stay_with_keep_leaks(leaky):
    texts = find_texts(leaky.recipe(keep_leaks="true"))

    assert len(texts.value.sts.train) == 99
    assert any("3 rows that are in dev or test too are trained on (keep_leaks=true)" in line for line in texts.lines)


def test_nli_rows_are_kept_apart_from_the_test_pairs_too(project):
    premise = next(line.split("\t")[0] for line in project.nli.read_text().splitlines()[1:])
    with (project.sts / "test.csv").open("a") as file:
        file.write(f'"{premise}","something that stands nowhere else",1\n')

    texts = find_texts(project.recipe())

    assert texts.value.nli.num_leaks == project.nli.read_text().count(f"{premise}\t") > 0
    assert premise not in {row.premise for row in texts.value.nli.rows}


def test_train_data_that_are_the_test_data_are_refused(project):
    (project.sts / "test.csv").write_text((project.sts / "train.csv").read_text())

    with pytest.raises(DataError, match="share a sentence with dev or test"):
        find_texts(project.recipe())


def test_a_tokenizer_that_does_not_fit_brings_a_warning_before_training(project, capsys):
    pairs = project.folder / "mr.tsv"
    pairs.write_text(DEVANAGARI, encoding="utf-8")

    run_full(project.recipe(layers="3", phases="sts", sts__data=str(pairs), split="0.6,0.2,0.2", sts__max_rows="8"))

    output = capsys.readouterr().out
    assert output.index("Devanagari texts:") < output.index("warning: ") < output.index("step train_sts")
    assert "split 60/20/20 by sentence" in output
    _, parent = parent_of(project)
    assert parent.data.tags["sbert_prune.script"] == "Devanagari"
    assert parent.data.metrics["text/unknown_rate"] > 0.3
