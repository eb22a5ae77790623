"""Every selection gives the embeddings of the cut model, and common first layers are computed once."""

from copy import deepcopy
from itertools import combinations

import numpy as np
import pytest
import torch

from sbert_prune.errors import DataError, SelectionError
from sbert_prune.layer_analysis.subsets import embed_subsets
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.sentence import embed, encoder_of, with_encoder
from sbert_prune.pruning import prune_layers
from sbert_prune.training.device import choose_hardware
from tests.kinds import KINDS

DEPTH = 4
LONG = "the man and the woman and the child is in the street and on the river and not quickly"
CPU = choose_hardware("cpu", "float32")


def selections(counts, model_type="bert", depth=DEPTH):
    all_of_them = [LayerSelection(kept, depth) for count in counts for kept in combinations(range(depth), count)]
    first_stays = bool(architecture_of(model_type).first_lacks)
    return [one for one in all_of_them if not first_stays or 0 in one.kept]


@pytest.mark.parametrize("model_type", KINDS)
def test_each_selection_gives_the_embeddings_of_the_cut_model(tiny_model, sentences, model_type):
    model = tiny_model(model_type, depth=DEPTH)
    texts = [*sentences[:5], LONG]
    wanted = selections((1, 2, 3, 4), model_type)

    found = dict(embed_subsets(model, reversed(wanted), texts, CPU))

    assert set(found) == set(wanted)
    for selection, vectors in found.items():
        cut = with_encoder(deepcopy(model), prune_layers(encoder_of(model), selection))
        assert np.array_equal(vectors, embed(cut, texts)), selection


def test_what_selections_begin_with_alike_runs_once(tiny_model, sentences):
    model = tiny_model(depth=6)
    ran = []
    for index, layer in enumerate(layers_of(encoder_of(model))):
        layer.attention.register_forward_hook(lambda _part, _given, _returned, index=index: ran.append(index))
    wanted = selections((3,), depth=6)

    list(embed_subsets(model, wanted, sentences[:4], CPU))

    assert len(wanted) == 20
    prefixes = {selection.kept[:length] for selection in wanted for length in (1, 2, 3)}
    assert len(ran) == len(prefixes) == 34  # and not 60


def test_the_model_stays_as_it_was(tiny_model, sentences):
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    expected = embed(model, sentences)

    list(embed_subsets(model, selections((2,)), sentences, CPU))

    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert np.array_equal(embed(model, sentences), expected)


def test_a_cut_that_shares_weights_changes_with_them(tiny_model):
    encoder = encoder_of(tiny_model())
    cut = prune_layers(encoder, LayerSelection((1, 3), DEPTH), share_weights=True)

    with torch.no_grad():
        for weight in layers_of(encoder)[3].parameters():
            weight.add_(1)

    theirs, own = layers_of(cut)[1].parameters(), layers_of(encoder)[3].parameters()
    assert all(left is right for left, right in zip(theirs, own, strict=True))
    assert encoder.config.num_hidden_layers == DEPTH


def test_what_cannot_be_compared_is_refused(tiny_model):
    model = tiny_model()

    with pytest.raises(DataError, match="without a sentence"):
        list(embed_subsets(model, selections((2,)), [], CPU))
    with pytest.raises(SelectionError, match="made for 5 layers"):
        list(embed_subsets(model, [LayerSelection((0,), 5)], ["a dog"], CPU))
