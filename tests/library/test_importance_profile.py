"""The vectors at a depth are those of the model pruned to that depth, and the model is not changed."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Pooling

from sbert_prune.errors import DataError
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import embed, encoder_of, with_encoder
from sbert_prune.pruning import prune_layers
from tests.kinds import KINDS

DEPTH = 4
LONG = "the man and the woman and the child is in the street and on the river and not quickly"
every_kind = pytest.mark.parametrize("model_type", KINDS)


def first_layers(model, count):
    encoder = encoder_of(model)
    pruned = prune_layers(encoder, LayerSelection(tuple(range(count)), len(layers_of(encoder))))
    return with_encoder(deepcopy(model), pruned)


@every_kind
def test_the_vectors_at_a_depth_are_those_of_the_first_layers(tiny_model, sentences, model_type):
    model = tiny_model(model_type, depth=DEPTH)
    texts = [*sentences[:5], LONG]

    vectors = profile_layers(model, texts).vectors

    assert vectors.shape[:2] == (DEPTH + 1, 6)
    assert vectors.dtype == np.float32
    for count in range(1, DEPTH + 1):
        assert np.array_equal(vectors[count], embed(first_layers(model, count), texts))
        assert not np.allclose(vectors[count], vectors[count - 1])


@pytest.mark.parametrize("model_type", ["bert", "qwen3", "t5"])
def test_prompts_dense_layers_and_shortened_vectors_are_respected(tiny_model, sentences, model_type):
    base = tiny_model(model_type, depth=DEPTH)
    modules = [base[0], Pooling(16, "mean", include_prompt=False), Dense(16, 12)]
    model = SentenceTransformer(
        modules=modules, prompts={"query": "the river "}, default_prompt_name="query", truncate_dim=8, device="cpu"
    )
    texts = [*sentences[:5], LONG]

    vectors = profile_layers(model, texts).vectors

    assert vectors.shape == (DEPTH + 1, 6, 8)
    for count in (1, DEPTH):
        assert np.allclose(vectors[count], embed(first_layers(model, count), texts), atol=1e-6)


@every_kind
def test_padding_changes_nothing(tiny_model, sentences, model_type):
    model = tiny_model(model_type, depth=DEPTH)
    texts = ["a cat", *sentences[:3], LONG]

    together = profile_layers(model, texts)
    apart = [profile_layers(model, [text]) for text in texts]

    tokens = [int(model.preprocess([text])["attention_mask"].sum()) for text in texts]
    assert np.allclose(together.vectors, np.concatenate([one.vectors for one in apart], axis=1), atol=1e-5)
    assert np.allclose(
        together.influence, np.average([one.influence for one in apart], axis=0, weights=tokens), atol=1e-6
    )


def test_block_influence_is_what_the_hidden_states_say(tiny_model):
    model = tiny_model("bert", depth=DEPTH)
    with torch.inference_mode():
        states = encoder_of(model)(
            **model.tokenizer(LONG, return_tensors="pt"), output_hidden_states=True
        ).hidden_states

    influence = profile_layers(model, [LONG]).influence

    cosines = [torch.cosine_similarity(states[index], states[index + 1], dim=-1).mean() for index in range(DEPTH)]
    assert influence == pytest.approx([1 - float(cosine) for cosine in cosines], abs=1e-6)


def test_many_sentences_come_back_in_the_order_given_and_the_same_every_time(tiny_model, sentences):
    model = tiny_model("bert", depth=2)
    texts = [f"{left} and {right}" for left in sentences[:10] for right in sentences] + list(sentences)

    first, second = profile_layers(model, texts), profile_layers(model, texts)

    assert np.allclose(first.vectors[2], embed(model, texts), atol=1e-6)
    assert np.array_equal(first.vectors, second.vectors)
    assert np.array_equal(first.influence, second.influence)


def snapshot(model):
    hooks = [
        (len(module._forward_hooks), len(module._forward_pre_hooks), module.training) for module in model.modules()
    ]
    return hooks, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_as_before(model, before):
    hooks, weights = snapshot(model)
    assert hooks == before[0]
    assert all(torch.equal(tensor, before[1][name]) for name, tensor in weights.items())


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "gemma3_text"])
def test_the_model_stays_as_it_was_in_whichever_mode(tiny_model, sentences, model_type):
    model = tiny_model(model_type, depth=DEPTH).train()
    layers_of(encoder_of(model))[1].eval()
    before = snapshot(model)

    profile_layers(model, sentences)

    assert_as_before(model, before)


def test_the_model_stays_as_it_was_when_a_layer_fails(tiny_model, sentences):
    model = tiny_model("bert", depth=DEPTH).train()
    layers_of(encoder_of(model))[2].register_forward_pre_hook(fail)
    before = snapshot(model)

    with pytest.raises(RuntimeError, match="a layer failed"):
        profile_layers(model, sentences)

    assert_as_before(model, before)
    assert torch.is_grad_enabled()


def fail(module, args):
    raise RuntimeError("a layer failed")


def test_no_sentence_is_refused(tiny_model):
    with pytest.raises(DataError, match="Layers cannot be profiled without a sentence"):
        profile_layers(tiny_model("bert"), [])
