"""A model is scored by how its cosines order the pairs, and pairs or models that prove nothing are refused."""

import numpy as np
import pytest
import torch

from sbert_prune.errors import DataError, RoundTripError
from sbert_prune.evaluation.sts import evaluate_sts, pair_cosines
from sbert_prune.rows import StsRow
from sbert_prune.sentence import embed, encoder_of


@pytest.fixture
def pairs(sentences):
    return list(zip(sentences, sentences[7:] + sentences[:7], strict=True))


def scored(pairs, scores):
    return [StsRow(left, right, float(score)) for (left, right), score in zip(pairs, scores, strict=True)]


def test_scores_in_the_order_of_the_models_own_cosines_give_1(tiny_model, pairs):
    model = tiny_model()
    cosines = pair_cosines(model, scored(pairs, [0.5] * len(pairs)), "dev")

    score = evaluate_sts(model, scored(pairs, (cosines + 1) / 2), "dev")

    assert (score.spearman.value, score.pearson, score.num_pairs) == (pytest.approx(1), pytest.approx(1), len(pairs))
    assert score.spearman.low == pytest.approx(1)


def test_scores_in_the_opposite_order_give_minus_1(tiny_model, pairs):
    model = tiny_model()
    cosines = pair_cosines(model, scored(pairs, [0.5] * len(pairs)), "dev")

    score = evaluate_sts(model, scored(pairs, (1 - cosines) / 2), "dev")

    assert (score.spearman.value, score.pearson) == (pytest.approx(-1), pytest.approx(-1))


def test_scores_drawn_at_random_give_an_interval_around_0(tiny_model, sentences):
    rng = np.random.default_rng(0)
    pairs = [(one, other) for one in sentences[:20] for other in sentences[20:]]

    score = evaluate_sts(tiny_model(), scored(pairs, rng.random(len(pairs))), "dev")

    assert score.spearman.low < 0 < score.spearman.high


def test_cosines_are_those_of_the_embeddings_of_each_pair(tiny_model, pairs):
    model = tiny_model()
    left, right = (embed(model, [pair[side] for pair in pairs]).astype(np.float64) for side in (0, 1))

    cosines = pair_cosines(model, scored(pairs, [0.5] * len(pairs)), "dev")

    expected = (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    assert np.allclose(cosines, expected, atol=1e-6)


def test_a_sentence_and_itself_have_cosine_1(tiny_model, sentences):
    cosines = pair_cosines(tiny_model(), scored([(text, text) for text in sentences], [1.0] * len(sentences)), "dev")

    assert np.allclose(cosines, 1)


def test_each_distinct_sentence_is_embedded_once(tiny_model, sentences, monkeypatch):
    model = tiny_model()
    encode, given = model.encode, []
    monkeypatch.setattr(model, "encode", lambda texts, **options: given.extend(texts) or encode(texts, **options))
    pairs = [(one, other) for one in sentences[:6] for other in sentences[:6]]

    evaluate_sts(model, scored(pairs, np.linspace(0, 1, len(pairs))), "dev")

    assert sorted(given) == sorted(sentences[:6])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "dev has 0 pairs; a correlation needs 3 or more, a useful one hundreds."),
        ([0.1, 0.9], "dev has 2 pairs; a correlation needs 3 or more, a useful one hundreds."),
        ([0.5] * 5, "dev: all 5 pairs have the same score, so nothing can correlate with it. Check the score column."),
    ],
)
def test_pairs_that_nothing_can_correlate_with_are_refused(tiny_model, pairs, scores, message):
    with pytest.raises(DataError) as caught:
        evaluate_sts(tiny_model(), scored(pairs[: len(scores)], scores), "dev")

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.0, "The model, on dev, gives the same embedding for every sentence: it has collapsed."),
        (float("nan"), "The model, on dev, gives embeddings that are not finite."),
    ],
)
def test_a_model_without_use_is_refused(tiny_model, pairs, value, message):
    model = tiny_model(max_seq_length=4)
    embeddings = encoder_of(model).embeddings
    with torch.no_grad():
        embeddings.word_embeddings.weight.fill_(value)

    with pytest.raises(RoundTripError) as caught:
        evaluate_sts(model, scored(pairs, np.linspace(0, 1, len(pairs))), "dev")

    assert str(caught.value).startswith(message)
