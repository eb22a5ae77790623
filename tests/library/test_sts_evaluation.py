"""A model is scored by how its cosines order the pairs; useless pairs and models are refused."""

import numpy as np
import pytest
import torch

from sbert_prune.data.rows import StsRow
from sbert_prune.errors import DataError, RoundTripError
from sbert_prune.evaluation.embeddings import Embedded, embed_once
from sbert_prune.evaluation.sts import StsMeasure, evaluate_sts, pair_cosines
from sbert_prune.models.sentence import embed, encoder_of


@pytest.fixture
def pairs(sentences):
    return list(zip(sentences, sentences[7:] + sentences[:7], strict=True))


def measured(model, rows):
    measure = StsMeasure("sts_dev", rows, "dev", 100)
    return measure.measure(embed_once(model, measure.texts(), "dev"))


def scored(pairs, scores):
    return [StsRow(left, right, float(score)) for (left, right), score in zip(pairs, scores, strict=True)]


def test_scores_in_the_order_of_the_models_own_cosines_give_1(tiny_model, pairs):
    model = tiny_model()
    cosines = pair_cosines(model, scored(pairs, [0.5] * len(pairs)), "dev")

    found = measured(model, scored(pairs, (cosines + 1) / 2))

    assert {name: found.scores[f"sts_dev/{name}_cosine"].value for name in ("spearman", "pearson")} == pytest.approx(
        {"spearman": 1, "pearson": 1}
    )
    assert found.scores["sts_dev/spearman_cosine"].low == pytest.approx(1)
    assert found.values["sts_dev/num_pairs"] == len(pairs)


def test_scores_in_the_opposite_order_give_minus_1(tiny_model, pairs):
    model = tiny_model()
    cosines = pair_cosines(model, scored(pairs, [0.5] * len(pairs)), "dev")

    score = evaluate_sts(model, scored(pairs, (1 - cosines) / 2), "dev")

    assert score.value == pytest.approx(-1)


def test_scores_drawn_at_random_give_an_interval_around_0(tiny_model, sentences):
    rng = np.random.default_rng(0)
    pairs = [(one, other) for one in sentences[:20] for other in sentences[20:]]

    score = evaluate_sts(tiny_model(), scored(pairs, rng.random(len(pairs))), "dev")

    assert score.low < 0 < score.high


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
        ([0.5] * 5, "dev: all 5 pairs have the same score, so no correlation can be computed. Check the score column."),
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


def embedded_at(*vectors):
    """Sentences "0", "1", ... with these embeddings."""
    return Embedded([str(number) for number in range(len(vectors))], np.array(vectors, dtype=np.float32))


def test_four_similarities_of_the_same_embeddings():
    # From the first sentence, the others are ever further off by angle, and ever nearer by length.
    embedded = embedded_at((1, 0), (4, 0.1), (3.5, 0.4), (2.9, 0.6), (2.35, 1.3))
    rows = [StsRow("0", str(number), 1 - number / 5) for number in range(1, 5)]

    metrics = StsMeasure("sts_x", rows, "x", 50).measure(embedded).metrics()

    found = {name: metrics[f"sts_x/spearman_{name}"] for name in ("cosine", "dot", "euclidean", "manhattan")}
    assert found == pytest.approx({"cosine": 1, "dot": 1, "euclidean": -1, "manhattan": -0.8})


def test_each_genre_and_file_is_scored_apart():
    rng = np.random.default_rng(0)
    embedded = embedded_at(*rng.standard_normal((80, 4)))
    cosines = [float(embedded.unit([str(2 * k)])[0] @ embedded.unit([str(2 * k + 1)])[0]) for k in range(40)]
    signs = [1] * 20 + [-1] * 20
    rows = [
        StsRow(str(2 * k), str(2 * k + 1), (1 + sign * cosine) / 2, "news" if sign == 1 else "web forums", "f")
        for k, (cosine, sign) in enumerate(zip(cosines, signs, strict=True))
    ]

    found = StsMeasure("sts_x", [*rows, StsRow("0", "3", 0.5, "few")], "x", 100).measure(embedded)

    scores = {name: score.value for name, score in found.details.items()}
    assert scores == pytest.approx(
        {
            "sts_x/news_spearman_cosine": 1,
            "sts_x/news-f_spearman_cosine": 1,
            "sts_x/web-forums_spearman_cosine": -1,
            "sts_x/web-forums-f_spearman_cosine": -1,
        }
    )
    assert found.notes == ("x: too few pairs, or no variation, in few (1)",)


def test_one_genre_alone_is_no_part():
    rows = [StsRow(str(k), str(k + 1), k / 30, "news", "f") for k in range(25)]

    found = StsMeasure("sts_x", rows, "x", 50).measure(embedded_at(*np.random.default_rng(0).standard_normal((26, 3))))

    assert found.details == {}


def test_a_model_that_finds_every_pair_equally_alike_is_refused():
    rows = [StsRow("0", "1", 0.1), StsRow("1", "0", 0.5), StsRow("0", "1", 0.9)]

    with pytest.raises(RoundTripError, match="gives every pair of x the same similarity, so it orders nothing"):
        StsMeasure("sts_x", rows, "x").measure(embedded_at((1, 0), (0, 1)))


def test_scores_of_other_rows_are_another_sample():
    rows = [StsRow(str(k), str(k + 1), k / 30) for k in range(25)]

    samples = {
        StsMeasure("sts_x", given, "x").sample
        for given in (rows, rows[::-1], rows[:-1], [StsRow("0", "1", 0.5), *rows[1:]])
    }

    assert len(samples) == 4


def test_genres_that_differ_in_what_a_name_cannot_hold_keep_a_metric_each():
    rng = np.random.default_rng(0)
    rows = [StsRow(str(2 * k), str(2 * k + 1), k / 60, "a/b" if k % 2 else "a b") for k in range(60)]

    found = StsMeasure("sts_x", rows, "x", 50).measure(embedded_at(*rng.standard_normal((120, 4))))

    assert set(found.details) == {"sts_x/a-b_spearman_cosine", "sts_x/a-b-2_spearman_cosine"}


def test_a_sentence_and_itself_are_tied_whatever_their_rounding():
    vectors = np.random.default_rng(1).standard_normal((40, 7))
    rows = [StsRow(str(k), str(k), k / 40) for k in range(40)]

    assert (StsMeasure("sts_x", [*rows, StsRow("0", "1", 0.5)], "x").cosines(embedded_at(*vectors))[:40] == 1).all()


def test_names_that_do_not_fit_into_metric_names_are_shortened_and_reported():
    rng = np.random.default_rng(0)
    rows = [StsRow(str(2 * k), str(2 * k + 1), k / 75, ("हिन्दी", "हिन्दू", "x" * 300)[k % 3]) for k in range(75)]

    found = StsMeasure("sts_x", rows, "x", 50).measure(embedded_at(*rng.standard_normal((150, 4))))

    assert len(found.details) == 3
    assert all(len(name) < 200 for name in found.details)
    assert "हिन्दी is sts_x/" in found.notes[0]
