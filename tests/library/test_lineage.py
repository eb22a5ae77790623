"""A model's lineage is written, read back, and extended by every further step."""

import json

import pytest
from pydantic import ValidationError

from sbert_prune import __version__
from sbert_prune.errors import EncoderError, SelectionError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.lineage import (
    FILE_NAME,
    BaseRecord,
    DataRecord,
    Lineage,
    PhaseRecord,
    TrimRecord,
    code_version,
    read_lineage,
)

BASE = BaseRecord(id="org/name", revision="0123456789abcdef0123456789abcdef01234567", sha256="ab" * 32, depth=12)


def begun(kept=(0, 2, 4, 6, 8, 10)):
    return Lineage.begin(BASE, pooling="mean").after_cut(LayerSelection(kept, 12), strategy="explicit", run_id="0e")


def phase(name="nli", *, run_id="1f"):
    data = DataRecord(name="train.csv", source="/data/train.csv", digest="cd" * 32, rows=100, skipped=2)
    settings = {"epochs": 0.5, "max_rows": None, "score_range": [0, 5], "data": "Sätze.csv"}
    return PhaseRecord(phase=name, settings=settings, data=data, seed=42, precision="float32", run_id=run_id)


TEXT = DataRecord(name="corpus.txt", source="/data/corpus.txt", digest="ef" * 32, rows=1000, skipped=0)
TRIM = TrimRecord(pieces=8000, pieces_before=30522, digest="12" * 32, limit="8000", corpus=TEXT, run_id="2a")


@pytest.mark.parametrize(
    "lineage",
    [
        Lineage.begin(BASE, pooling=None),
        begun(),
        begun().after(TRIM).after(phase()).after(phase("sts", run_id=None)),
        begun((11,)),
    ],
    ids=["base", "pruned", "trained", "one layer"],
)
def test_a_lineage_reads_back_as_it_was_written(tmp_path, lineage):
    lineage.write(tmp_path)

    assert read_lineage(tmp_path) == lineage


def test_a_lineage_begins_with_the_kept_layers_and_what_they_were_made_with():
    lineage = begun()

    assert lineage.selection == LayerSelection((0, 2, 4, 6, 8, 10), 12)
    assert lineage.phases == ()
    assert {"torch", "transformers", "sentence-transformers", "tokenizers"} == set(lineage.packages)
    assert lineage.code_version.partition("+")[0] == __version__


def test_a_second_prune_is_recorded_in_the_layers_of_the_original_base():
    second = LayerSelection((1, 2, 5), 6)

    lineage = begun().after_cut(second, strategy="drop-top").pooled("cls")

    assert lineage.kept_layers == (2, 4, 10)
    assert (lineage.base, lineage.strategy, lineage.pooling) == (BASE, "drop-top", "cls")


def test_a_third_prune_is_recorded_in_the_layers_of_the_original_base():
    lineage = begun().after_cut(LayerSelection((1, 2, 5), 6), strategy="explicit")

    again = lineage.after_cut(LayerSelection((0, 2), 3), strategy="explicit")

    assert again.kept_layers == (2, 10)
    assert again.selection.depth == 12


def test_another_cut_keeps_the_phases_before_it():
    trained = begun().after(phase())

    assert trained.after_cut(LayerSelection((0,), 6), strategy="drop-top").phases == trained.phases


def test_the_chain_holds_every_change_in_its_order():
    lineage = (
        begun().after(phase()).after_cut(LayerSelection((0, 5), 6), strategy="drop-middle", run_id="3b").after(TRIM)
    )

    assert [record.kind for record in lineage.chain] == ["prune", "train", "prune", "trim"]
    assert [record.kept_layers for record in lineage.chain if record.kind == "prune"] == [(0, 2, 4, 6, 8, 10), (0, 10)]
    assert [record.run_id for record in lineage.chain] == ["0e", "1f", "3b", "2a"]
    assert lineage.trim == TRIM


def test_keeping_every_layer_is_no_cut():
    lineage = begun()

    assert lineage.after_cut(LayerSelection.all(6), strategy="drop-top") == lineage


def test_a_cut_made_for_another_depth_is_refused():
    with pytest.raises(SelectionError) as caught:
        begun().after_cut(LayerSelection((0, 1), 12), strategy="drop-top")

    assert str(caught.value) == "A selection of 12 layers does not fit an encoder that kept 6."


def test_phases_are_appended_in_their_order_and_the_lineage_before_stays_as_it_was():
    before = begun()

    after = before.after(phase("nli")).after(phase("sts"))

    assert [record.phase for record in after.phases] == ["nli", "sts"]
    assert before.phases == ()


def test_a_lineage_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        begun().strategy = "drop-top"


def test_a_folder_that_sbert_prune_did_not_write_has_no_lineage(tmp_path):
    assert read_lineage(tmp_path) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda _: "",
        lambda _: "[]",
        lambda content: json.dumps({key: value for key, value in json.loads(content).items() if key != "base"}),
        lambda content: json.dumps(json.loads(content) | {"unknown": 1}),
        lambda content: json.dumps(json.loads(content) | {"kept_layers": ["x"]}),
        lambda content: json.dumps(json.loads(content) | {"kept_layers": [5, 3]}),
        lambda content: json.dumps(json.loads(content) | {"kept_layers": [12]}),
    ],
    ids=["cut off", "empty", "a list", "without base", "unknown key", "no numbers", "unsorted", "outside"],
)
def test_a_damaged_lineage_is_refused_with_the_way_out(tmp_path, damage):
    begun().write(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(damage(path.read_text()))

    with pytest.raises(EncoderError) as caught:
        read_lineage(tmp_path)

    assert str(caught.value).startswith(f"{path} cannot be read: ")
    assert str(caught.value).endswith(". Restore it, or delete it to treat the model as one of unknown origin.")


def test_the_code_version_is_the_same_from_wherever_it_is_asked(tmp_path, monkeypatch):
    commit_version = code_version()
    monkeypatch.chdir(tmp_path)

    assert code_version() == commit_version


def test_without_git_the_code_version_is_the_plain_version(monkeypatch):
    monkeypatch.setenv("PATH", "")

    assert code_version() == __version__
