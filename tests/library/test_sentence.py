"""A saved sentence model is the same when it is loaded again, and a failed save leaves no files."""

import hashlib
import json
import re
from unittest import TestCase

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Dense, Pooling
from transformers import BertModel

from sbert_prune.errors import EncoderError, RoundTripError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import BaseRecord, Lineage, read_lineage
from sbert_prune.models.sentence import (
    PROBES,
    check_embeddings,
    embed,
    encoder_of,
    load_saved,
    save_sentence_model,
    with_encoder,
    with_pooling,
)
from sbert_prune.pruning import prune_layers
from tests.kinds import KINDS

BASE = BaseRecord(id="base", revision=None, sha256="ab" * 32, depth=4)
LINEAGE = Lineage.begin(BASE, pooling="mean").after_cut(LayerSelection((0, 2), 4), strategy="explicit")


def pruned(model, kept):
    encoder = encoder_of(model)
    return with_encoder(model, prune_layers(encoder, LayerSelection(kept, encoder.config.num_hidden_layers)))


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("model_type", KINDS)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_sentence_transformers_alone_loads_a_pruned_model_as_it_was_saved(tiny_model, tmp_path, model_type, pooling):
    model = pruned(tiny_model(model_type, pooling=pooling), (0, 2))
    expected = embed(model, PROBES)

    save_sentence_model(model, tmp_path / "saved", LINEAGE)

    reloaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert np.array_equal(embed(reloaded, PROBES), expected)
    assert encoder_of(reloaded).config.num_hidden_layers == inspect_checkpoint(tmp_path / "saved").depth == 2
    assert read_lineage(tmp_path / "saved") == LINEAGE


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert"])
def test_two_saves_of_one_base_are_the_same_bytes(tiny_base, tmp_path, model_type):
    folder = tiny_base(model_type)
    tensors = load_file(folder / "model.safetensors")
    without_pooler = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    save_file(without_pooler, folder / "model.safetensors", metadata={"format": "pt"})

    for name in ("one", "two"):
        model = with_pooling(load_saved(inspect_checkpoint(folder)), "mean", max_seq_length=32)
        save_sentence_model(model, tmp_path / name, LINEAGE)

    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_pooler_that_the_base_lacks_becomes_zeros(tiny_base):
    folder = tiny_base()
    BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)

    encoder = encoder_of(load_saved(inspect_checkpoint(folder)))

    assert all(not parameter.any() for parameter in encoder.pooler.parameters())


def test_a_pooler_that_the_base_has_is_kept(tiny_base):
    folder = tiny_base()

    encoder = encoder_of(load_saved(inspect_checkpoint(folder)))

    assert torch.equal(encoder.pooler.dense.weight, load_file(folder / "model.safetensors")["pooler.dense.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_base_of_any_precision_is_loaded_as_float32(tiny_base, tiny_encoder, dtype):
    folder = tiny_base()
    tiny_encoder().to(dtype).save_pretrained(folder)

    model = load_saved(inspect_checkpoint(folder))

    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("model_type", "limit"),
    [("bert", 64), ("roberta", 62), ("mpnet", 62), ("distilbert", 64), ("electra", 64), ("t5", 4096), ("llama", 4096)],
)
def test_a_saved_length_beyond_the_positions_is_cut_to_them_and_reported(tiny_base, sentences, *, model_type, limit):
    folder = tiny_base(model_type, depth=1)
    with_pooling(load_saved(inspect_checkpoint(folder)), None, max_seq_length=32).save(str(folder))
    settings = folder / "sentence_bert_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"max_seq_length": 4096}))
    logs = TestCase()

    with logs.assertLogs("sbert_prune", "WARNING") if limit < 4096 else logs.assertNoLogs("sbert_prune") as logged:
        model = load_saved(inspect_checkpoint(folder))

    assert model.max_seq_length == limit
    assert np.isfinite(embed(model, [" ".join(sentences)])).all()
    if limit < 4096:
        assert f"its max_seq_length is 4096, and its encoder has {limit} positions" in "".join(logged.output)


def test_a_length_beyond_the_positions_is_cut_to_them_where_pooling_is_added(tiny_base, sentences):
    folder = tiny_base("roberta", depth=1)

    model = with_pooling(load_saved(inspect_checkpoint(folder)), "mean", max_seq_length=128)

    assert model.max_seq_length == 62
    assert np.isfinite(embed(model, [" ".join(sentences)])).all()


@pytest.mark.parametrize(
    ("changed", "reason", "advice"),
    [
        ({"hidden_act": "swish2"}, "KeyError", "or correct config.json or tokenizer_config.json."),
        ({"num_attention_heads": 3}, "hidden size", "Its files do not fit each other, or not Transf"),
        ({"hidden_size": "wide"}, "hidden_size", "Correct config.json, or restore it from where"),
        ({"intermediate_size": 7}, "mismatched_sizes", "Its files do not fit each other, or not Transf"),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_why_and_what_to_do(tiny_base, changed, reason, advice):
    path = tiny_base() / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    with pytest.raises(EncoderError) as caught:
        load_saved(inspect_checkpoint(path.parent))

    assert reason in str(caught.value)
    assert advice in str(caught.value)
    assert "Fetch it again" not in str(caught.value)


def test_a_loaded_model_is_in_evaluation_mode(tiny_model):
    model = tiny_model()

    assert not any(module.training for module in model.modules())
    assert np.array_equal(embed(model, PROBES), embed(model, PROBES))


def test_mean_pooling_averages_the_pieces_and_cls_takes_the_first(tiny_model, sentences):
    mean, cls = (tiny_model(pooling=pooling, name=pooling) for pooling in ("mean", "cls"))
    inputs = mean.tokenizer(list(sentences[:1]), return_tensors="pt")
    with torch.inference_mode():
        pieces = encoder_of(mean)(**inputs).last_hidden_state[0]

    for model, expected in ((mean, pieces.mean(dim=0)), (cls, pieces[0])):
        unit = (expected / expected.norm()).numpy()
        assert np.allclose(embed(model, sentences[:1])[0], unit, atol=1e-6)
    assert not np.allclose(embed(mean, sentences), embed(cls, sentences), atol=1e-2)


def test_embeddings_have_length_1_in_the_order_given(tiny_model, sentences):
    model = tiny_model()

    vectors = embed(model, sentences)

    assert (vectors.shape, vectors.dtype) == ((len(sentences), 16), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.allclose(vectors[::-1], embed(model, sentences[::-1]), atol=1e-6)


@pytest.mark.parametrize("max_seq_length", [5, 32])
def test_the_longest_input_is_kept_through_a_save(tiny_model, tmp_path, max_seq_length):
    model = tiny_model(max_seq_length=max_seq_length)

    save_sentence_model(model, tmp_path / "saved", LINEAGE)

    reloaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert reloaded.max_seq_length == max_seq_length
    long, cut = "the dog " * 20, "the dog the"
    assert np.allclose(*embed(reloaded, [long, cut]), atol=1e-6) == (max_seq_length == 5)


def test_further_modules_stay_between_pooling_and_normalisation(tiny_model):
    model = tiny_model()
    dense = Dense(16, 8)
    before = SentenceTransformer(modules=[model[0], Pooling(16, "cls"), dense], device="cpu")

    after = with_pooling(before, "mean", max_seq_length=32)

    assert [type(module).__name__ for module in after] == ["Transformer", "Pooling", "Dense", "Normalize"]
    assert after[2] is dense
    assert after[1].pooling_mode == "mean"


@pytest.mark.parametrize("place", ["saved", "new/folders/saved"])
def test_a_save_that_fails_leaves_nothing_behind(tiny_model, tmp_path, monkeypatch, place):
    model, target = tiny_model(), tmp_path / "out" / place
    monkeypatch.setattr(Lineage, "write", refuse_to_write)

    with pytest.raises(EncoderError, match=r"saved could not be written: no space left. No partial folder was left"):
        save_sentence_model(model, target, LINEAGE)

    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not target.exists()


def refuse_to_write(lineage, folder):
    assert (folder / "model.safetensors").is_file()  # the save was nearly done
    raise OSError("no space left")


def test_a_save_into_an_empty_folder_fills_it(tiny_model, tmp_path):
    (tmp_path / "saved").mkdir()

    save_sentence_model(tiny_model(), tmp_path / "saved", LINEAGE)

    assert inspect_checkpoint(tmp_path / "saved").depth == 4


@pytest.mark.parametrize("is_file", [True, False])
def test_a_place_that_holds_something_is_refused_and_left_alone(tiny_model, tmp_path, is_file):
    target = tmp_path / "mine"
    precious = target if is_file else target / "precious.txt"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("years of work")

    with pytest.raises(EncoderError) as caught:
        save_sentence_model(tiny_model(), target, LINEAGE)

    assert str(caught.value) == f"{target} already exists and is not empty. Give a new folder."
    assert precious.read_text() == "years of work"
    assert not list(tmp_path.glob(".*"))


def test_a_base_that_does_not_begin_with_an_encoder_is_refused(tiny_base):
    folder = tiny_base()
    (folder / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.sentence_transformer.modules.Normalize"}]'
    )

    with pytest.raises(EncoderError) as caught:
        load_saved(inspect_checkpoint(folder))

    assert str(caught.value) == f"{folder / 'modules.json'} begins with Normalize; a Transformer encoder is expected."


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_that_are_not_finite_are_refused(value):
    vectors = np.eye(3, dtype=np.float32)
    vectors[1, 1] = value

    with pytest.raises(RoundTripError) as caught:
        check_embeddings(vectors, "The model")

    assert str(caught.value) == (
        "The model gives embeddings that are not finite. "
        "Train again with a lower learning rate, or with precision=float32."
    )


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_embeddings_that_are_all_the_same_are_refused(noise):
    vectors = np.full((10, 4), 0.5, dtype=np.float32)
    vectors[0] += noise

    with pytest.raises(RoundTripError) as caught:
        check_embeddings(vectors, "The model")

    assert str(caught.value).startswith("The model gives the same embedding for every sentence: it has collapsed.")
    assert str(caught.value).endswith("Train again with a lower learning rate, or with precision=float32.")


@pytest.mark.parametrize("vectors", [np.eye(3, dtype=np.float32), np.ones((1, 4), dtype=np.float32)])
def test_embeddings_that_differ_are_accepted(vectors):
    check_embeddings(vectors, "The model")


def test_a_tokenizer_with_more_pieces_than_the_weights_is_refused(tiny_encoder, tiny_tokenizer, tmp_path):
    tokenizer = tiny_tokenizer(0)
    tokenizer.add_tokens([f"word{number}" for number in range(200)])
    tiny_encoder().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    with pytest.raises(EncoderError, match=r"the tokenizer has \d+ pieces, the weights have 128"):
        load_saved(inspect_checkpoint(tmp_path))


def test_a_sentence_model_keeps_its_own_pooling_and_prompts_when_none_is_asked_for(tiny_base):
    model = with_pooling(load_saved(inspect_checkpoint(tiny_base())), "cls", max_seq_length=32)
    model.prompts = {"query": "find: "}

    again = with_pooling(model, None, max_seq_length=32)

    assert again[1].pooling_mode == "cls"
    assert again.prompts["query"] == "find: "


@pytest.mark.parametrize(
    "lost", ["embeddings.position_embeddings.weight", "attention.self.query.weight", "embeddings.LayerNorm.bias"]
)
def test_missing_weights_are_reported_before_random_ones_are_used(tiny_base, lost):
    folder = tiny_base()
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if lost not in name},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )

    with pytest.raises(
        EncoderError, match=r"the weights lack .*, which a BertModel has. Loaded like this, they would be random"
    ):
        load_saved(inspect_checkpoint(folder))


def test_weights_under_the_names_of_old_are_whole(tiny_base, sentences):
    folder = tiny_base()
    expected = embed(load_saved(inspect_checkpoint(folder)), sentences)
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = load_file(folder / "model.safetensors")
    old = {re.sub("|".join(names), lambda match: names[match[0]], name): tensor for name, tensor in tensors.items()}
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})

    assert np.array_equal(embed(load_saved(inspect_checkpoint(folder)), sentences), expected)


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_modules_stay_in_their_order(tiny_model, sentences, pooling):
    encoder, pooled, _ = tiny_model()
    torch.manual_seed(0)
    original = SentenceTransformer(
        modules=[encoder, pooled, Normalize(), Dense(16, 8), Dense(8, 4)], device="cpu"
    ).eval()
    expected = embed(original, sentences)

    embeddings = embed(with_pooling(original, pooling, max_seq_length=32), sentences)

    assert np.abs(embeddings - expected / np.linalg.norm(expected, axis=1, keepdims=True)).max() < 1e-6


def without_padding_piece(folder, **changes):
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["pad_token"]
    path.write_text(json.dumps(config | changes))


def test_a_decoder_without_a_padding_piece_pads_with_its_end_piece(tiny_base, tmp_path, sentences):
    folder = tiny_base("llama")
    expected = embed(load_saved(inspect_checkpoint(folder)), sentences)
    without_padding_piece(folder, eos_token="[SEP]")

    model = load_saved(inspect_checkpoint(folder))
    save_sentence_model(model, tmp_path / "saved", LINEAGE.model_copy(update={"kept_layers": (0, 1, 2, 3)}))

    assert model.tokenizer.pad_token == "[SEP]"
    assert np.abs(embed(model, sentences) - expected).max() < 1e-6
    assert np.abs(embed(SentenceTransformer(str(tmp_path / "saved"), device="cpu"), sentences) - expected).max() < 1e-6


def test_a_tokenizer_that_cannot_pad_is_refused(tiny_base):
    folder = tiny_base("llama")
    without_padding_piece(folder)

    with pytest.raises(EncoderError, match="neither a padding nor an end piece"):
        load_saved(inspect_checkpoint(folder))
