"""The public functions: a base becomes a pruned, trained, evaluated, saved encoder."""

import csv
import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import sbert_prune
from sbert_prune.errors import DataError, EncoderError, RecipeError, RoundTripError, SelectionError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import read_lineage
from sbert_prune.models.sentence import embed, encoder_of

PAPER = "quickstart-paper"
SHORT = {"nli_epochs": 1, "nli_batch_size": 4, "sts_epochs": 2, "sts_batch_size": 4, "precision": "float32"}


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def sts_data(tmp_path, sentences):
    """A folder of pairs; no sentence is in two splits."""
    splits = {"train": sentences[:12], "dev": sentences[12:20], "test": sentences[20:]}
    for split, texts in splits.items():
        rows = [(one, texts[(place * 3 + 1) % len(texts)], place % 6) for place, one in enumerate(texts)]
        write(tmp_path / "sts" / f"{split}.csv", [("sentence1", "sentence2", "score"), *rows])
    return tmp_path / "sts"


@pytest.fixture
def nli_data(tmp_path, sentences):
    """A file of triplets' rows."""
    rows = [
        (premise, hypothesis, label)
        for place, premise in enumerate(sentences[:6])
        for label, hypothesis in (("entailment", sentences[place + 6]), ("contradiction", sentences[11 - place]))
        if hypothesis != premise
    ]
    return write(tmp_path / "nli.csv", [("premise", "hypothesis", "label"), *rows])


def test_a_base_becomes_a_saved_encoder_with_its_lineage(tiny_base, tmp_path, nli_data, sts_data, sentences):
    base = tiny_base("bert", depth=4, width=32)

    variant = sbert_prune.prune(base, 2, strategy="drop-bottom", max_seq_length=32)
    variant = sbert_prune.train(variant, PAPER, nli_data=nli_data, sts_data=sts_data, **SHORT)
    folder = sbert_prune.save(variant, tmp_path / "smaller")

    reloaded = SentenceTransformer(str(folder), device="cpu")
    assert np.array_equal(embed(reloaded, sentences), embed(variant.model, sentences))
    assert inspect_checkpoint(folder).depth == 2
    lineage = read_lineage(folder)
    assert lineage == variant.lineage
    assert (lineage.kept_layers, lineage.strategy, lineage.pooling) == ((2, 3), "drop-bottom", "mean")
    assert [phase.phase for phase in lineage.phases] == ["nli", "sts"]
    assert lineage.phases[1].data.rows == 12
    assert lineage.phases[0].settings["batch_size"] == 4


def test_training_changes_the_weights_by_the_seed_alone(tiny_base, nli_data, sts_data, sentences):
    base = tiny_base("bert", depth=2, width=32)

    def trained(seed):
        variant = sbert_prune.prune(base, [0, 1], max_seq_length=32)
        before = embed(variant.model, sentences)
        variant = sbert_prune.train(variant, PAPER, nli_data=nli_data, sts_data=sts_data, seed=seed, **SHORT)
        after = embed(variant.model, sentences)
        assert not np.allclose(before, after)
        return after

    assert np.array_equal(trained(1), trained(1))
    assert not np.array_equal(trained(1), trained(2))


def test_scores_have_the_names_of_the_runs_and_a_reference_is_compared_on_the_same_pairs(tiny_base, sts_data):
    base = tiny_base("bert", depth=4, width=32)
    variant = sbert_prune.prune(base, 2, max_seq_length=32)

    reference = sbert_prune.prune(base, 4, max_seq_length=32)
    scores = sbert_prune.evaluate(variant, sts_data, reference=reference, score_range=(0, 5))
    alone = sbert_prune.evaluate(variant, sts_data, score_range=(0, 5))

    test = "sts_test/spearman_cosine"
    assert scores[f"{test}_low"] <= scores[test] <= scores[f"{test}_high"]
    assert {"sts_dev/spearman_cosine", "sts_test/pearson_cosine", "difference/reference_p_worse"} <= scores.keys()
    assert alone == {name: value for name, value in scores.items() if name.startswith("sts_")}


def test_a_saved_variant_is_trained_further(tiny_base, tmp_path, nli_data, sts_data):
    folder = sbert_prune.save(sbert_prune.prune(tiny_base("bert", depth=3), 2, max_seq_length=32), tmp_path / "cut")

    variant = sbert_prune.load(folder)
    variant = sbert_prune.train(variant, PAPER, phases="sts", sts_data=sts_data, nli_data=nli_data, **SHORT)

    assert [record.kind for record in variant.lineage.chain] == ["prune", "train"]


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_teacher_is_learnt_from(tiny_base, tmp_path, nli_data, sts_data, is_saved):
    base = tiny_base("bert", depth=3, width=32)
    teacher = sbert_prune.prune(base, 3, max_seq_length=32)
    teacher = sbert_prune.save(teacher, tmp_path / "teacher") if is_saved else teacher
    variant = sbert_prune.prune(base, 1, max_seq_length=32)

    variant = sbert_prune.train(
        variant, "quickstart", teacher=teacher, phases="distil", nli_data=nli_data, sts_data=sts_data, distil_epochs=1
    )

    (phase,) = variant.lineage.phases
    assert (phase.teacher.id == str(teacher)) == is_saved


def test_a_measured_strategy_and_a_trimmed_vocabulary_use_the_data(tiny_base, nli_data, sts_data):
    variant = sbert_prune.prune(
        tiny_base("bert", depth=4, width=32),
        2,
        strategy="block-influence",
        vocabulary=0.5,
        nli_data=nli_data,
        sts_data=sts_data,
        max_seq_length=32,
    )

    assert variant.lineage.strategy == "block-influence"
    assert variant.lineage.trim.pieces < variant.lineage.trim.pieces_before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_base_in_half_precision_is_trained_and_saved_in_float32(
    tiny_base, tmp_path, nli_data, sts_data, *, sentences, dtype
):
    folder = tiny_base("bert", depth=2, width=32)
    half = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": dtype})
    encoder_of(half).save_pretrained(folder)
    assert str(dtype).removeprefix("torch.") in (folder / "config.json").read_text()

    variant = sbert_prune.prune(folder, 1, max_seq_length=32)
    variant = sbert_prune.train(variant, PAPER, nli_data=nli_data, sts_data=sts_data, **SHORT)
    saved = sbert_prune.save(variant, tmp_path / "smaller")

    assert {parameter.dtype for parameter in variant.model.parameters()} == {torch.float32}
    assert {tensor.dtype for tensor in inspect_checkpoint(saved).tensors.values()} == {"F32"}
    assert json.loads((saved / "config.json").read_text())["dtype"] == "float32"
    assert np.isfinite(embed(variant.model, sentences)).all()


@pytest.mark.parametrize(("precision", "stored"), [("float16", "F16"), ("bfloat16", "BF16")])
def test_half_precision_on_request_halves_the_bytes_and_loads_as_the_same_float32(
    tiny_base, tmp_path, nli_data, sts_data, *, sentences, precision, stored
):
    variant = sbert_prune.prune(tiny_base("bert", depth=2, width=32), 1, max_seq_length=32)
    whole = sbert_prune.save(variant, tmp_path / "whole")
    data = {"nli_data": nli_data, "sts_data": sts_data}

    variant = sbert_prune.train(variant, PAPER, **data, **SHORT, save_precision=precision)
    saved = sbert_prune.save(variant, tmp_path / "half")

    reloaded = SentenceTransformer(str(saved), device="cpu")  # as a user loads it
    assert {parameter.dtype for parameter in reloaded.parameters()} == {torch.float32}
    assert np.array_equal(embed(reloaded, sentences), embed(variant.model, sentences))
    assert {tensor.dtype for tensor in inspect_checkpoint(saved).tensors.values()} == {stored}
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (saved, whole)]
    assert sizes[0] < 0.55 * sizes[1]
    again = sbert_prune.train(sbert_prune.load(saved), PAPER, phases="sts", **data, **SHORT)
    assert (variant.lineage.save_precision, again.lineage.save_precision) == (precision, "float32")


def test_a_weight_beyond_the_range_of_float16_is_refused_with_the_way_out(tiny_base):
    variant = sbert_prune.prune(tiny_base("bert", depth=2), 1, max_seq_length=32)
    with torch.no_grad():
        encoder_of(variant.model).pooler.dense.weight[0, 0] = 1e6

    with pytest.raises(
        RoundTripError, match=r"pooler\.dense\.weight has values up to 1e\+06, .* Use save_precision=bf"
    ):
        variant.rounded("float16")


def test_a_model_in_half_precision_that_is_already_loaded_is_trained_in_float32(tiny_base, nli_data, sts_data):
    variant = sbert_prune.prune(tiny_base("bert", depth=2, width=32), 1, max_seq_length=32)
    variant.model.half()

    sbert_prune.train(variant, PAPER, nli_data=nli_data, sts_data=sts_data, **SHORT)

    assert {parameter.dtype for parameter in variant.model.parameters()} == {torch.float32}


def test_a_half_precision_teacher_gives_a_student_in_float32(tiny_model, tiny_base, tmp_path, nli_data, sts_data):
    tiny_model("bert", name="large", depth=2, width=32).half().save(str(tmp_path / "teacher"))
    variant = sbert_prune.prune(tiny_base("bert", depth=2, width=32), 1, max_seq_length=32)

    distils = {**SHORT, "nli_distillation": 0.5, "sts_distillation": 0.5}
    teacher = tmp_path / "teacher"
    sbert_prune.train(variant, "quickstart", teacher=teacher, nli_data=nli_data, sts_data=sts_data, **distils)

    assert {parameter.dtype for parameter in variant.model.parameters()} == {torch.float32}
    assert np.isfinite(embed(variant.model, ["a man plays"])).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layers": 5}, SelectionError, "layers=5 cannot be kept: the encoder has 4 layers"),
        ({"layers": [3, 1]}, SelectionError, "not in ascending order"),
        ({"layers": 2, "strategy": "drop-tap"}, SelectionError, "Did you mean 'drop-top'"),
        ({"layers": 2, "vocabulary": 0}, RecipeError, "vocabulary=0"),
        ({"layers": 2, "strategy": "cka"}, RecipeError, "sts.data"),
        ({"layers": 2, "pooling": "max"}, RecipeError, "pooling=max"),
    ],
)
def test_a_mistake_in_pruning_is_explained(tiny_base, change, error, message):
    with pytest.raises(error, match=message):
        sbert_prune.prune(tiny_base("bert", depth=4), **change)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"sts_epoch": 2}, RecipeError, "sts_epoch=2: there is no such setting. Did you mean sts_epochs"),
        ({"sts_epochs": -2}, RecipeError, "sts_epochs=-2"),
        ({"sts_distillation": 1}, RecipeError, "Give teacher=, a trained variant"),
        ({"sts_data": "nowhere.csv"}, DataError, "nowhere.csv"),
    ],
)
def test_a_mistake_in_training_is_explained(tiny_base, settings, error, message):
    variant = sbert_prune.prune(tiny_base("bert", depth=2), 1)

    with pytest.raises(error, match=message):
        sbert_prune.train(variant, PAPER, **settings)


def test_a_folder_with_files_is_not_written_into(tiny_base, tmp_path):
    variant = sbert_prune.prune(tiny_base("bert", depth=2), 1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")

    with pytest.raises(EncoderError, match="mine"):
        sbert_prune.save(variant, tmp_path / "mine")

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
