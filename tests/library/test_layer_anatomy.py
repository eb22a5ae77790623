"""The measurements at a depth are those of the model cut there, and the model is not changed."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from transformers import BertModel

from sbert_prune.data.rows import StsRow
from sbert_prune.errors import DataError, RoundTripError
from sbert_prune.evaluation.embeddings import embed_once
from sbert_prune.evaluation.geometry import Geometry
from sbert_prune.evaluation.sts import evaluate_sts
from sbert_prune.layer_analysis.anatomy import attention_entropy, inspect_layers
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layer_analysis.similarity import linear_cka
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import encoder_of, with_encoder
from sbert_prune.pruning import prune_layers
from tests.kinds import KINDS

DEPTH = 4
LONG = "the man and the woman and the child is in the street and on the river and not quickly"
every_kind = pytest.mark.parametrize("model_type", KINDS)


@pytest.fixture
def dev(sentences):
    pairs = zip(sentences, (LONG, *sentences[8:], *sentences[:7]), strict=True)
    return [StsRow(*pair, (number * 7 % 10) / 10) for number, pair in enumerate(pairs)]


def first_layers(model, count):
    encoder = encoder_of(model)
    return with_encoder(
        deepcopy(model), prune_layers(encoder, LayerSelection(tuple(range(count)), len(layers_of(encoder))))
    )


@every_kind
def test_an_early_exit_is_the_model_cut_there(tiny_model, dev, model_type):
    model = tiny_model(model_type, depth=DEPTH)

    found = inspect_layers(model, dev)

    assert found.depth == DEPTH
    for count in range(1, DEPTH + 1):
        cut = first_layers(model, count)
        embedded = embed_once(cut, {text for row in dev for text in row.sentences}, "dev")
        expected = Geometry.of(embedded.vectors.astype(np.float64))
        assert found.depths[count].exit.value == pytest.approx(evaluate_sts(cut, dev, "dev").value, abs=1e-9)
        assert found.depths[count].geometry.anisotropy == pytest.approx(expected.anisotropy, abs=1e-5)
        assert found.depths[count].geometry.effective_rank == pytest.approx(expected.effective_rank, rel=1e-4)


@every_kind
def test_every_kind_shows_its_attention(tiny_model, dev, model_type):
    model = tiny_model(model_type, depth=DEPTH)

    found = inspect_layers(model, dev)

    assert len(found.attention) == DEPTH
    assert all(0 < entropy < 0.999 for entropy in found.attention)
    assert found.notes == ()
    assert (
        json.loads(json.dumps(found.as_dict(), allow_nan=False))["layers"][1]["attention_entropy"] == found.attention[1]
    )


def test_similarity_is_to_the_models_own_embedding(tiny_model, dev):
    model = tiny_model("bert", depth=DEPTH)

    found = inspect_layers(model, dev)

    vectors = profile_layers(model, sorted({text for row in dev for text in row.sentences})).vectors.astype(np.float64)
    assert (found.depths[-1].cosine, found.depths[-1].cka) == (pytest.approx(1), pytest.approx(1))
    for at_depth, here in zip(found.depths, vectors, strict=True):
        assert at_depth.cosine == pytest.approx(
            (here * vectors[-1]).sum(axis=1).mean(), abs=1e-5
        )  # the model normalises
        assert at_depth.cka == pytest.approx(linear_cka(here, vectors[-1]), abs=1e-5)
    assert found.depths[1].cosine < 0.99


def test_the_layers_influence_is_that_of_the_profile(tiny_model, dev):
    model = tiny_model("bert", depth=DEPTH)

    found = inspect_layers(model, dev)

    assert found.influence == pytest.approx(
        profile_layers(model, [text for row in dev for text in row.sentences]).influence, rel=0.05
    )
    assert len(found.influence) == DEPTH


@every_kind
def test_padding_does_not_change_the_attentions_entropy(tiny_model, sentences, model_type):
    model = tiny_model(model_type, depth=3)
    texts = ["a cat", *sentences[:3], LONG]

    together = attention_entropy(model, texts)
    apart = [attention_entropy(model, [text]) for text in texts]

    first_sees_itself = int(model_type in {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2"})
    tokens = [int(model.preprocess([text])["attention_mask"].sum()) - first_sees_itself for text in texts]
    assert together == pytest.approx(np.average(apart, axis=0, weights=tokens), abs=1e-5)


@every_kind
def test_tokens_that_attend_to_all_equally_have_entropy_1(tiny_model, sentences, model_type):
    model = tiny_model(model_type, depth=3)
    with torch.no_grad():
        for name, parameter in layers_of(encoder_of(model)).named_parameters():
            if any(
                part in name.lower()
                for part in ("query", "q_lin", "q_proj", ".q.", "attn.q", "wqkv", "q_norm", "relative")
            ):
                parameter.fill_(
                    -1.0 if "gemma3" in model_type and "q_norm" in name else 0.0
                )  # gemma's norms scale by 1 + weight
        for name, parameter in encoder_of(model).named_parameters():
            if "relative_attention_bias" in name:
                parameter.zero_()

    found = attention_entropy(model, [*sentences[:5], LONG])

    assert found == pytest.approx(np.ones(3), abs=1e-6)


def test_a_token_that_attends_to_one_has_entropy_0(tiny_model, sentences):
    model = tiny_model("bert", depth=2)
    with torch.no_grad():
        for layer in layers_of(encoder_of(model)):
            for part in (layer.attention.self.query, layer.attention.self.key):
                part.weight.mul_(1000)

    assert attention_entropy(model, sentences) == pytest.approx(np.zeros(2), abs=0.01)


def test_the_entropy_is_that_of_the_attentions_rows(tiny_model):
    model = tiny_model("bert", depth=DEPTH)
    plain = deepcopy(encoder_of(model))
    plain.set_attn_implementation("eager")
    with torch.inference_mode():
        weights = torch.stack(plain(**model.tokenizer(LONG, return_tensors="pt"), output_attentions=True).attentions)

    found = attention_entropy(model, [LONG])

    expected = -(weights * weights.log()).sum(dim=-1).mean(dim=(1, 2, 3)) / np.log(weights.shape[-1])
    assert found == pytest.approx(expected.numpy(), abs=1e-6)


def test_batches_of_any_size_give_the_same(tiny_model, sentences):
    model = tiny_model("bert", depth=2)
    whole = attention_entropy(model, sentences)

    found = attention_entropy(model, sentences, token_pairs_at_once=100)

    assert found == pytest.approx(whole, abs=1e-6)


class Silent(BertModel):
    """An encoder that records nothing."""

    _can_record_outputs = None


def test_an_encoder_without_attention_weights_gives_a_note(tiny_model, dev):
    model = tiny_model("bert", depth=2)
    silent = Silent(encoder_of(model).config).eval()
    silent.load_state_dict(encoder_of(model).state_dict())

    found = inspect_layers(with_encoder(model, silent), dev)

    assert found.attention is None
    assert found.num_attention_sentences == 0
    assert found.notes == ("Silent does not return attention weights, so their entropy is unknown",)
    assert found.depths[-1].exit is not None
    assert found.as_dict()["layers"][0]["attention_entropy"] is None


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "t5", "qwen3"])
def test_the_model_stays_as_it_was(tiny_model, dev, model_type):
    model = tiny_model(model_type, depth=3).train()
    layers_of(encoder_of(model))[1].eval()

    def state():
        modules = [
            (id(module), len(module._forward_hooks), len(module._forward_pre_hooks), module.training)
            for module in model.modules()
        ]
        return modules, encoder_of(model).config.to_dict(), encoder_of(model).config._attn_implementation

    before, weights = state(), {name: tensor.clone() for name, tensor in model.state_dict().items()}

    inspect_layers(model, dev)

    assert state() == before
    assert before[2] == "sdpa"
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert torch.is_grad_enabled()


def test_a_depth_that_gives_every_sentence_the_same_vector_has_no_score(tiny_model, dev):
    model = tiny_model("bert", depth=2, pooling="cls")

    found = inspect_layers(model, dev)

    assert found.depths[0].exit is None
    assert (found.depths[0].geometry.effective_rank, found.depths[0].cka) == (0, 0)
    assert found.depths[1].exit is not None
    assert found.as_dict()["depths"][0]["exit"] is None


def add_rounding(module, args, features):
    noise = torch.randn(features["sentence_embedding"].shape, generator=torch.Generator().manual_seed(0))
    return features | {"sentence_embedding": features["sentence_embedding"] + 1e-7 * noise}


def test_vectors_that_differ_by_rounding_alone_have_no_score(tiny_model, dev):
    model = tiny_model("bert", depth=2, pooling="cls")
    model[1].register_forward_hook(add_rounding)  # as matrix products do in batches of another size

    found = inspect_layers(model, dev)

    assert found.depths[0].exit is None
    assert found.depths[1].exit is not None


def test_some_pairs_are_the_same_ones_whatever_their_order(tiny_model, dev):
    model = tiny_model("bert", depth=2)

    some, turned, all_of_them = (
        inspect_layers(model, dev, num_pairs=12),
        inspect_layers(model, dev[::-1], num_pairs=12),
        inspect_layers(model, dev),
    )

    assert (some.num_pairs, all_of_them.num_pairs) == (12, len(dev))
    assert some.num_sentences < all_of_them.num_sentences == len({text for row in dev for text in row.sentences})
    assert some.as_dict() == turned.as_dict()


def test_an_interval_surrounds_each_score(tiny_model, dev):
    found = inspect_layers(tiny_model("bert", depth=2), dev)

    for at_depth in found.depths:
        assert at_depth.exit.low < at_depth.exit.value < at_depth.exit.high


def test_some_pairs_that_happen_to_have_equal_scores_give_no_score(tiny_model, dev):
    rows = [StsRow(*row.sentences, 0.5) for row in dev[1:]] + [StsRow(*dev[0].sentences, 1.0)]

    found = inspect_layers(tiny_model("bert", depth=1), rows, num_pairs=4)

    assert [at_depth.exit for at_depth in found.depths] == [None, None]


def test_pairs_of_one_sentence_are_refused(tiny_model):
    with pytest.raises(DataError, match="The dev pairs contain only one distinct sentence"):
        inspect_layers(tiny_model("bert"), [StsRow("a dog", "a dog", score) for score in (0.1, 0.5, 0.9)])


def test_no_pairs_are_refused(tiny_model):
    with pytest.raises(DataError, match="dev for the layer analysis has 0 pairs"):
        inspect_layers(tiny_model("bert"), [])


def test_damaged_weights_are_refused(tiny_model, dev):
    model = tiny_model("bert", depth=2)
    with torch.no_grad():
        next(layers_of(encoder_of(model))[1].parameters()).fill_(torch.nan)

    with pytest.raises(
        RoundTripError, match="The model, on dev for the layer analysis, gives embeddings that are not finite"
    ):
        inspect_layers(model, dev)
