"""For every architecture, a pruned encoder computes what its kept layers compute; the original does not change."""

from copy import deepcopy

import pytest
import torch

from sbert_prune.errors import SelectionError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import ARCHITECTURES, depth_in_config, layers_of
from sbert_prune.pruning import prune_layers

DEPTH = 4
every_architecture = pytest.mark.parametrize("model_type", ARCHITECTURES)


@pytest.fixture(scope="module")
def inputs():
    """Three inputs of different length. *Shape:* (3, 9)"""
    torch.manual_seed(1)
    mask = (torch.arange(9) < torch.tensor([[9], [5], [2]])).long()
    return {"input_ids": torch.randint(10, 100, (3, 9)), "attention_mask": mask}


def run(encoder, inputs):
    with torch.inference_mode():
        return encoder(**inputs).last_hidden_state


def by_hand(encoder, kept, inputs):
    """Return what the kept layers compute: run the whole encoder with dropped layers returning their input."""
    whole = deepcopy(encoder)
    for index, layer in enumerate(layers_of(whole)):
        if index not in kept:
            layer.register_forward_hook(hand_on, with_kwargs=True)
    return run(whole, inputs)


def hand_on(layer, args, kwargs, output):
    hidden = args[0] if args else kwargs["hidden_states"]
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def normed(encoder, hidden):
    """Return the encoder's output with this layer as its last."""
    path = ARCHITECTURES[encoder.config.model_type].final_norm
    return encoder.get_submodule(path)(hidden) if path else hidden


def fit(model_type, kept):
    """Return a selection that fits every architecture: some need layer 0."""
    first_matters = (
        ARCHITECTURES[model_type].first_lacks or model_type == "deberta-v2"
    )  # DeBERTa's convolution follows the first layer
    return tuple(sorted({0, *kept})) if first_matters else kept


@every_architecture
@pytest.mark.parametrize("count", range(1, DEPTH + 1))
def test_keeping_the_first_layers_equals_stopping_early(tiny_encoder, inputs, model_type, count):
    encoder = tiny_encoder(model_type, depth=DEPTH)
    with torch.inference_mode():
        states = encoder(**inputs, output_hidden_states=True).hidden_states
        expected = states[count] if count == DEPTH else normed(encoder, states[count])

    pruned = prune_layers(encoder, LayerSelection(tuple(range(count)), DEPTH))

    assert torch.equal(run(pruned, inputs), expected)
    assert not torch.equal(states[count], states[count - 1])  # a layer that does nothing would prove nothing


@every_architecture
@pytest.mark.parametrize("kept", [(3,), (1, 3), (0, 3), (1, 2, 3), (0, 1, 2, 3)])
def test_any_selection_equals_running_the_kept_layers_by_hand(tiny_encoder, inputs, model_type, kept):
    encoder, kept = tiny_encoder(model_type, depth=DEPTH), fit(model_type, kept)

    pruned = prune_layers(encoder, LayerSelection(kept, DEPTH))

    assert torch.equal(run(pruned, inputs), by_hand(encoder, kept, inputs))


@every_architecture
def test_the_original_stays_as_it_was_and_shares_no_memory_with_the_copy(tiny_encoder, inputs, model_type):
    encoder = tiny_encoder(model_type, depth=DEPTH)
    before, settings = run(encoder, inputs), encoder.config.to_dict()

    pruned = prune_layers(encoder, LayerSelection((0, 2), DEPTH))
    with torch.no_grad():
        for tensor in [*pruned.parameters(), *pruned.buffers()]:
            tensor.zero_()

    assert torch.equal(run(encoder, inputs), before)
    assert encoder.config.to_dict() == settings
    assert len(layers_of(encoder)) == DEPTH


@every_architecture
def test_the_copy_has_only_the_kept_layers_and_a_config_that_says_so(tiny_encoder, model_type):
    encoder = tiny_encoder(model_type, depth=DEPTH)
    dropped = sum(parameter.numel() for index in (1, 2) for parameter in layers_of(encoder)[index].parameters())

    pruned = prune_layers(encoder, LayerSelection((0, 3), DEPTH))

    assert pruned.num_parameters() == encoder.num_parameters() - dropped
    assert len(layers_of(pruned)) == pruned.config.num_hidden_layers == depth_in_config(pruned.config.to_dict()) == 2
    assert {id(module.config) for module in pruned.modules() if hasattr(module, "config")} == {id(pruned.config)}


@every_architecture
def test_dropped_layers_are_never_copied(tiny_encoder, model_type):
    encoder = tiny_encoder(model_type, depth=DEPTH)
    for index in (1, 2):
        layers_of(encoder)[index].forbidden = Uncopyable()

    pruned = prune_layers(encoder, LayerSelection((0, 3), DEPTH))

    assert len(layers_of(pruned)) == 2


class Uncopyable:
    """A module in a layer that must not be copied."""

    def __deepcopy__(self, memo):
        raise AssertionError("a dropped layer was copied")


@every_architecture
def test_a_pruned_encoder_comes_back_from_disk_as_it_was(tiny_encoder, inputs, tmp_path, model_type):
    encoder = tiny_encoder(model_type, depth=DEPTH)
    pruned = prune_layers(
        encoder, LayerSelection((1, 3) if not ARCHITECTURES[model_type].first_lacks else (0, 3), DEPTH)
    )

    pruned.save_pretrained(tmp_path)
    reloaded = type(encoder).from_pretrained(tmp_path).eval()

    assert torch.equal(run(reloaded, inputs), run(pruned, inputs))
    assert len(layers_of(reloaded)) == reloaded.config.num_hidden_layers == 2


@every_architecture
def test_pruning_twice_equals_pruning_once_by_the_combined_selection(tiny_encoder, inputs, model_type):
    encoder = tiny_encoder(model_type, depth=5)
    first, second = LayerSelection((0, 2, 3, 4), 5), LayerSelection(fit(model_type, (1, 3)), 4)

    twice = prune_layers(prune_layers(encoder, first), second)
    once = prune_layers(encoder, second.within(first))

    assert torch.equal(run(twice, inputs), run(once, inputs))
    assert twice.num_parameters() == once.num_parameters()


@every_architecture
def test_a_pruned_encoder_learns_in_every_kept_layer(tiny_encoder, inputs, model_type):
    pruned = prune_layers(tiny_encoder(model_type, depth=DEPTH), LayerSelection(fit(model_type, (1, 3)), DEPTH))

    pruned(**inputs).last_hidden_state.square().sum().backward()

    assert all(any(parameter.grad is not None for parameter in layer.parameters()) for layer in layers_of(pruned))


@pytest.mark.parametrize("training", [True, False])
def test_the_copy_keeps_the_mode_of_the_original(tiny_encoder, training):
    encoder = tiny_encoder(depth=DEPTH).train(training)

    pruned = prune_layers(encoder, LayerSelection((0,), DEPTH))

    assert {module.training for module in pruned.modules()} == {training}


def test_a_selection_made_for_another_depth_is_refused(tiny_encoder):
    encoder = tiny_encoder(depth=DEPTH)

    with pytest.raises(SelectionError) as caught:
        prune_layers(encoder, LayerSelection((0, 1), 12))

    assert str(caught.value) == "The selection 0,1 was made for 12 layers; this encoder has 4."


def test_layer_0_of_a_modernbert_has_to_stay(tiny_encoder):
    encoder = tiny_encoder("modernbert", depth=DEPTH)

    with pytest.raises(SelectionError) as caught:
        prune_layers(encoder, LayerSelection((1, 3), DEPTH))

    assert str(caught.value) == (
        "Layers 1,3 leave out layer 0, which has to stay in a modernbert: it alone has no attn_norm, "
        "and another first layer would lose its own when the model is loaded. Did you mean layers=0,3?"
    )
