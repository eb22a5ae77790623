"""The embedding after k layers is that of the model cut to those layers."""

from copy import deepcopy

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import Pooling

from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import embed, encoder_of, with_encoder
from sbert_prune.pruning import prune_layers
from sbert_prune.training.device import Hardware
from sbert_prune.training.embedding import embed_batch
from tests.kinds import KINDS

CPU = Hardware(torch.device("cpu"), bfloat16=False)
CPU_BFLOAT16 = Hardware(torch.device("cpu"), bfloat16=True)
DEPTH = 3
LONG = "the man and the woman and the child is in the street and on the river and not quickly"
every_kind = pytest.mark.parametrize("model_type", KINDS)


@pytest.fixture
def texts(sentences):
    return [*sentences[:4], LONG]


def features_of(model, texts):
    return dict(model.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt"))


def first_layers(model, count):
    """Return the model cut to its first layers."""
    encoder = encoder_of(model)
    return with_encoder(
        deepcopy(model), prune_layers(encoder, LayerSelection(tuple(range(count)), len(layers_of(encoder))))
    )


@every_kind
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_exit_is_that_of_the_model_cut_there(tiny_model, texts, model_type, pooling):
    model = tiny_model(model_type, depth=DEPTH, pooling=pooling)
    features = features_of(model, texts)

    with torch.no_grad():
        found = embed_batch(model, features, CPU, (1, 2, 3))
        expected = [embed_batch(first_layers(model, count), features, CPU)[0] for count in (1, 2, 3)]

    assert found.shape == (3, 5, 16)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    assert not torch.allclose(found[0], found[1], atol=1e-2)
    assert not torch.allclose(found[1], found[2], atol=1e-2)


@every_kind
def test_the_last_exit_is_what_encode_gives(tiny_model, texts, model_type):
    model = tiny_model(model_type, depth=DEPTH)
    features = features_of(model, texts)

    with torch.no_grad():
        alone, last = embed_batch(model, features, CPU)[0], embed_batch(model, features, CPU, (1, DEPTH))[1]

    expected = torch.from_numpy(embed(model, texts))
    torch.testing.assert_close(alone, expected, rtol=0, atol=1e-6)
    assert torch.equal(last, alone)


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "t5"])
def test_an_exit_passes_all_further_modules(tiny_model, texts, model_type):
    base = tiny_model(model_type, depth=DEPTH)
    model = SentenceTransformer(modules=[base[0], Pooling(16, "mean"), Dense(16, 6), Normalize()], device="cpu").eval()

    with torch.no_grad():
        found = embed_batch(model, features_of(model, texts), CPU, (2, 3))

    assert found.shape == (2, 5, 6)
    for count, one in zip((2, 3), found, strict=True):
        torch.testing.assert_close(one, torch.from_numpy(embed(first_layers(model, count), texts)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("model_type", ["bert", "t5", "llama"])
def test_every_exit_leaves_out_the_prompt_that_the_pooling_leaves_out(tiny_model, texts, model_type, pooling):
    base = tiny_model(model_type, depth=DEPTH)
    prompts = {"prompts": {"query": "the river "}, "default_prompt_name": "query"}
    model, included = (
        SentenceTransformer(
            modules=[base[0], Pooling(16, pooling, include_prompt=one), Normalize()], device="cpu", **prompts
        ).eval()
        for one in (False, True)
    )
    features = features_of(model, [f"the river {text}" for text in texts]) | {"prompt_length": 3}

    with torch.no_grad():
        found, whole = embed_batch(model, features, CPU, (1, 3)), embed_batch(included, features, CPU, (1, 3))

    for count, one, other in zip((1, 3), found, whole, strict=True):
        torch.testing.assert_close(one, torch.from_numpy(embed(first_layers(model, count), texts)), rtol=0, atol=1e-6)
        torch.testing.assert_close(
            other, torch.from_numpy(embed(first_layers(included, count), texts)), rtol=0, atol=1e-6
        )
        assert not torch.allclose(one, other, atol=1e-2)


@pytest.mark.parametrize("exits", [(3, 1), (2, 2), (2,), (1, 3, 1)])
def test_exits_come_in_the_order_that_was_asked_for(tiny_model, texts, exits):
    model = tiny_model(depth=DEPTH)
    features = features_of(model, texts)

    with torch.no_grad():
        found = embed_batch(model, features, CPU, exits)
        whole = embed_batch(model, features, CPU, (1, 2, 3))

    assert torch.equal(found, torch.stack([whole[depth - 1] for depth in exits]))


@pytest.mark.parametrize("model_type", ["bert", "roberta", "t5", "qwen3", "deberta-v2"])
def test_only_the_layers_before_an_exit_learn_from_it(tiny_model, texts, model_type):
    model = tiny_model(model_type, depth=DEPTH)

    embed_batch(model, features_of(model, texts), CPU, (2, DEPTH))[0].square().mul(torch.arange(16)).sum().backward()

    def learnt(layer):
        return any(
            parameter.grad is not None and bool(parameter.grad.abs().sum() > 0) for parameter in layer.parameters()
        )

    assert [learnt(layer) for layer in layers_of(encoder_of(model))] == [True, True, False]


@pytest.mark.parametrize("exits", [None, (1, 2, 3)])
def test_the_encoder_runs_once_and_is_left_as_it_was(tiny_model, texts, exits):
    model, runs = tiny_model(depth=DEPTH), []
    encoder, features = encoder_of(model), features_of(model, texts)
    given = {name: value.clone() for name, value in features.items()}
    handle = layers_of(encoder)[0].register_forward_hook(lambda *_: runs.append(1))

    embed_batch(model, features, CPU, exits)

    handle.remove()
    assert len(runs) == 1
    assert not any(module._forward_hooks for module in encoder.modules())
    assert features.keys() == given.keys()
    assert all(torch.equal(features[name], value) for name, value in given.items())


def test_an_error_on_the_way_leaves_no_hook(tiny_model):
    model = tiny_model(depth=DEPTH)

    with pytest.raises(IndexError):
        embed_batch(model, {"input_ids": torch.tensor([[10**6]]), "attention_mask": torch.ones(1, 1)}, CPU, (1, DEPTH))

    assert not any(module._forward_hooks for module in encoder_of(model).modules())


@every_kind
def test_bfloat16_gives_float32_embeddings_close_to_those_of_float32(tiny_model, texts, model_type):
    model = tiny_model(model_type, depth=DEPTH, spread=0.05)
    features = features_of(model, texts)

    with torch.no_grad():
        found, expected = (
            embed_batch(model, features, CPU_BFLOAT16, (1, 2, 3)),
            embed_batch(model, features, CPU, (1, 2, 3)),
        )

    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3, 5), rtol=0, atol=1e-6)
    assert torch.cosine_similarity(found, expected, dim=-1).min() > 0.99


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "modernbert"])
def test_an_exit_in_training_draws_the_dropout_that_the_model_cut_there_draws(tiny_model, texts, model_type):
    model = tiny_model(model_type, depth=2)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    features = features_of(model, texts)
    model.train()
    cut = first_layers(model, 1)

    torch.manual_seed(5)
    found = embed_batch(model, features, CPU, (1, 2))[0]
    torch.manual_seed(5)
    expected = embed_batch(cut, features, CPU)[0]

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
