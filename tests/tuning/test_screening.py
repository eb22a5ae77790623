"""A screening ranks selections by the scores of the pruned models."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from sbert_prune.data.rows import StsRow
from sbert_prune.layer_analysis.similarity import linear_cka
from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sentence import as_sentence_model, embed, encoder_of, with_encoder
from sbert_prune.pruning import prune_layers
from sbert_prune.recipe.files import load_recipe
from sbert_prune.training.device import Hardware
from tuning.screening import Pairs, Screened, embed_once, score_shared, screen, selections_to_screen
from tuning.space import Space

CPU = Hardware(torch.device("cpu"), bfloat16=False)


def rows_of(sentences):
    return [
        StsRow(left, right, number / 20)
        for number, (left, right) in enumerate(zip(sentences[:15], sentences[15:], strict=True))
    ]


def spearman_of(vectors, rows, texts):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = [unit[texts.index(row.sentence1)] @ unit[texts.index(row.sentence2)] for row in rows]
    return spearmanr(cosines, [row.score for row in rows]).statistic


def test_every_measure_is_that_of_the_cut_model(tiny_base, sentences):
    folder = tiny_base(depth=4)
    base = SavedModel(str(folder), None, inspect_checkpoint(folder))
    rows, recipe = rows_of(sentences), load_recipe("quickstart", {})
    selections = tuple(Space(4, (2,)).selections())

    found = screen(base, base, recipe, selections=selections, dev=rows, hardware=CPU)

    pairs = Pairs.of(rows)
    whole = embed_once(as_sentence_model(base, recipe), pairs.texts, CPU)
    for one, untrained, agreement in zip(
        selections, found.measures["untrained"], found.measures["agreement"], strict=True
    ):
        model = as_sentence_model(base, recipe)
        cut = embed(with_encoder(model, prune_layers(encoder_of(model), one)), pairs.texts)
        assert untrained == pytest.approx(spearman_of(cut, rows, pairs.texts), abs=1e-4)
        assert agreement == pytest.approx(linear_cka(cut, whole), abs=1e-4)


def screened(scores, depth=4):
    selections = tuple(LayerSelection(kept, depth) for kept in scores)
    return Screened(selections, {"untrained": (0.0,) * len(scores), "shared": tuple(scores.values())}, 1.0)


def test_the_strongest_measure_ranks_and_the_lower_half_is_below_the_middle():
    found = screened({(0,): 0.1, (1,): 0.4, (2,): 0.3, (3,): 0.2})

    assert [one.kept for one in found.ranked()] == [(1,), (2,), (3,), (0,)]
    assert found.lower_half() == {"3", "0"}


def test_selections_are_compared_with_those_of_as_many_layers():
    found = screened({(0,): 0.1, (1,): 0.2, (0, 1): 0.8, (1, 2): 0.9, (2, 3): 0.7})

    assert [one.kept for one in found.ranked()] == [(1, 2), (1,), (0, 1), (0,), (2, 3)]
    assert found.lower_half() == {"0", "2,3"}


def test_shared_weights_score_the_same_selections(tiny_model, sentences):
    rows, model = rows_of(sentences), tiny_model(depth=4)
    before = screened(dict.fromkeys([(0, 1), (1, 3)], 0.0))

    found = score_shared(model, before, rows, CPU)

    texts = Pairs.of(rows).texts
    for one, score in zip(found.selections, found.measures["shared"], strict=True):
        cut = tiny_model(depth=4, name="cut")
        vectors = embed(with_encoder(cut, prune_layers(encoder_of(cut), one)), texts)
        assert score == pytest.approx(spearman_of(vectors, rows, texts), abs=1e-4)


def test_a_large_space_is_screened_in_part_with_those_that_have_a_name():
    space, named = Space(24, (12,)), LayerSelection(tuple(range(12)), 24)

    found = selections_to_screen(space, [named], 1)

    assert len(found) == len(set(found)) == 1000
    assert named in found
    assert found == selections_to_screen(space, [named], 1)


def test_all_of_a_small_space_is_screened():
    assert len(selections_to_screen(Space(6, (3,)), [], 1)) == 20
