"""ARCHITECTURES gives the path of each family's layers and the config's key of their number."""

import pytest
from torch import nn
from transformers import AutoModelForMaskedLM

from sbert_prune.errors import EncoderError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import (
    ARCHITECTURES,
    architecture_of,
    depth_in_config,
    layers_of,
    pruned_config,
    set_layers,
)
from sbert_prune.pruning import prune_layers


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_layers_found_are_those_that_the_config_announces(tiny_encoder, model_type):
    encoder = tiny_encoder(model_type, depth=3)

    layers = layers_of(encoder)

    assert isinstance(layers, nn.ModuleList)
    assert len(layers) == 3
    assert depth_in_config(encoder.config.to_dict()) == 3


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_layers_are_set_together_with_the_depth_that_the_config_reports(tiny_encoder, model_type):
    encoder = tiny_encoder(model_type, depth=3)
    two = nn.ModuleList(list(layers_of(encoder))[:2])

    set_layers(encoder, two, LayerSelection((0, 1), 3))

    assert layers_of(encoder) is two
    assert encoder.config.num_hidden_layers == 2
    assert depth_in_config(encoder.config.to_dict()) == 2


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_layers_that_are_set_are_numbered_anew(tiny_encoder, model_type):
    encoder = tiny_encoder(model_type, depth=4)

    set_layers(encoder, nn.ModuleList([layers_of(encoder)[index] for index in (1, 3)]), LayerSelection((1, 3), 4))

    numbers = [
        {vars(module).get("layer_idx", place) for module in layer.modules()}
        for place, layer in enumerate(layers_of(encoder))
    ]
    assert numbers == [{0}, {1}]


@pytest.mark.parametrize(
    ("config", "depth"),
    [
        ({"model_type": "bert", "num_hidden_layers": 12}, 12),
        ({"model_type": "distilbert", "n_layers": 6}, 6),
        ({"model_type": "distilbert", "num_hidden_layers": 5}, 5),
        ({"model_type": "distilbert", "n_layers": 6, "num_hidden_layers": 5}, 6),
    ],
)
def test_the_depth_is_read_from_the_key_that_transformers_reads(config, depth):
    assert depth_in_config(config) == depth


@pytest.mark.parametrize(("model_type", "key"), [("bert", "num_hidden_layers"), ("distilbert", "n_layers")])
def test_a_config_without_a_depth_is_refused(model_type, key):
    with pytest.raises(EncoderError) as caught:
        depth_in_config({"model_type": model_type})

    assert str(caught.value) == f"config.json of this {model_type} holds no {key}, so its depth is not known."


@pytest.mark.parametrize(("model_type", "hint"), [("robertta", "The nearest known type is 'roberta'. "), ("xyz", "")])
def test_an_unknown_architecture_is_answered_with_where_to_add_it(model_type, hint):
    with pytest.raises(EncoderError) as caught:
        architecture_of(model_type)

    assert str(caught.value) == (
        f"Encoders of the type '{model_type}' are not known: sbert-prune has to know where such a model keeps its list "
        f"of layers (encoder.layer, say), their number and its word embeddings. {hint}"
        f"Known types: {', '.join(ARCHITECTURES)}. "
        "To add one, write a row into ARCHITECTURES in sbert_prune/models/architectures.py."
    )


def test_a_model_with_a_task_on_top_is_answered_with_the_bare_encoder(tiny_encoder):
    model = AutoModelForMaskedLM.from_config(tiny_encoder("bert", depth=1).config)

    with pytest.raises(EncoderError) as caught:
        layers_of(model)

    assert "BertForMaskedLM has no 'encoder.layer', where encoders of the type 'bert' keep their layers." in str(
        caught.value
    )
    assert "Give the bare encoder (AutoModel)" in str(caught.value)


def test_an_encoder_with_shared_layers_is_refused_with_the_reason():
    with pytest.raises(EncoderError) as caught:
        architecture_of("albert")

    assert str(caught.value) == (
        "Encoders of the type 'albert' cannot be pruned: such an encoder repeats one and the same layer, "
        "so dropping layers would save no parameter. "
        "Take an encoder whose layers have weights of their own, a bert or a roberta, say."
    )


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_word_embeddings_are_where_the_table_says(tiny_encoder, model_type):
    encoder = tiny_encoder(model_type, depth=2)

    assert encoder.get_submodule(ARCHITECTURES[model_type].word_embeddings) is encoder.get_input_embeddings()


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_config_on_disk_follows_the_selection_as_the_one_in_memory_does(tiny_encoder, model_type):
    encoder, selection = tiny_encoder(model_type, depth=4), LayerSelection((0, 3), 4)
    before = encoder.config.to_dict()

    assert pruned_config(before, selection) == prune_layers(encoder, selection).config.to_dict()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"model_type": "modernbert", "num_hidden_layers": 7, "global_attn_every_n_layers": 3},
            ["full", "full", "sliding"],
        ),
        (
            {"model_type": "qwen3", "num_hidden_layers": 7, "use_sliding_window": True, "max_window_layers": 5},
            ["full", "full", "sliding"],
        ),
        (
            {"model_type": "gemma3_text", "num_hidden_layers": 7, "sliding_window_pattern": 4},
            ["sliding", "full", "sliding"],
        ),
    ],
)
def test_a_list_that_an_old_config_leaves_out_is_made_before_the_cut(config, expected):
    pruned = pruned_config(config, LayerSelection((0, 3, 5), 7))

    assert [kind.removesuffix("_attention") for kind in pruned["layer_types"]] == expected
