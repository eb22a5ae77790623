"""Robustness drops, measured on models that are built to be sensitive to known changes."""

import hashlib
import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from small_texts import LANGUAGES, sts_pairs

from sbert_prune.data.rows import StsRow
from sbert_prune.evaluation.embeddings import Embedded
from sbert_prune.evaluation.perturbations import PERTURBATIONS
from sbert_prune.evaluation.perturbations.words import Words
from sbert_prune.evaluation.robustness import RobustnessMeasure

KEEPING = [kind for kind, row in PERTURBATIONS.items() if row.keeps_meaning]


def pairs(language="en", *splits):
    return [StsRow(one, other, score / 5) for one, other, score in sts_pairs(language, *(splits or ("train", "dev")))]


def alike():
    """Pairs of the same sentence twice, with scores from all over the range."""
    return [StsRow(row.sentence1, row.sentence1, place % 100 / 100) for place, row in enumerate(pairs())]


def vector_of(name, dim=64):
    """A direction of its own for each name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


def whole_string(text):
    """A model for which every change is another sentence."""
    return vector_of(text)


def bag_of_words(text):
    """A model that does not see order, case or punctuation."""
    return np.sum([vector_of(word) for word in sorted(word.lower() for word in Words.of(text).words)], axis=0)


def blind(text):
    """A model that sees nothing."""
    return np.ones(64, dtype=np.float32)


def silent(text):
    """A model that gives nothing."""
    return np.zeros(64, dtype=np.float32)


def measured(model, rows, num_pairs=1000, what="sts test"):
    measure = RobustnessMeasure(rows, what, num_pairs)
    texts = list(dict.fromkeys(measure.texts()))
    return measure.measure(Embedded(texts, np.array([model(text) for text in texts])))


def test_what_a_model_does_not_see_costs_it_nothing():
    found = measured(bag_of_words, pairs())

    drops = {
        name: found.scores[f"robustness/{name}_drop"].value
        for name in ("swapped_words", "case", "punctuation", "scrambled")
    }
    assert drops == pytest.approx(dict.fromkeys(drops, 0.0), abs=1e-6)
    assert found.scores["robustness/scrambled_noticed"].value == 0.5


def test_a_model_that_sees_order_notices_that_words_are_scrambled():
    found = measured(whole_string, alike())

    drop = found.scores["robustness/scrambled_drop"]
    assert drop.low > 0.8
    assert found.scores["robustness/scrambled_noticed"].value == 1


@pytest.mark.parametrize("kind", KEEPING)
def test_a_model_that_takes_every_change_for_another_sentence_loses_its_order(kind):
    rows = [StsRow(row.sentence1, row.sentence1 if row.score > 0.9 else row.sentence2, row.score) for row in pairs()]

    found = measured(whole_string, rows)

    assert found.scores[f"robustness/{kind}_drop"].low > 0.3


def test_a_drop_is_the_difference_of_two_rank_correlations():
    rows = pairs()
    changed = [PERTURBATIONS["typos"].neutral(row.sentence2) for row in rows]

    found = measured(bag_of_words, rows)

    def spearman(seconds):
        cosines = [
            np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other)
            for one, other in (
                (bag_of_words(row.sentence1), bag_of_words(second)) for row, second in zip(rows, seconds, strict=True)
            )
        ]
        return spearmanr(cosines, [row.score for row in rows]).statistic

    expected = spearman([row.sentence2 for row in rows]) - spearman(changed)
    assert found.scores["robustness/typos_drop"].value == pytest.approx(expected, abs=1e-4)
    assert found.values["robustness/typos_affected"] == len(rows)


def test_a_drop_of_cosines_is_over_the_pairs_that_were_alike():
    rows = pairs()
    found = measured(bag_of_words, rows)

    assert found.values["robustness/negation_affected"] == sum(row.score >= 0.6 for row in rows)
    assert found.values["robustness/case_affected"] == len(rows)


@pytest.mark.parametrize("language", LANGUAGES)
def test_negation_is_in_the_pairs_own_language(language):
    found = measured(bag_of_words, pairs(language))

    assert found.scores["robustness/negation_drop"].low > 0


def test_the_order_of_the_rows_does_not_matter():
    rows = pairs()

    one, other = measured(whole_string, rows, 60), measured(whole_string, rows[::-1], 60)

    assert one.metrics() == other.metrics()
    assert {score.sample for score in one.scores.values()} == {score.sample for score in other.scores.values()}


def test_so_many_pairs_are_taken_and_only_they_are_embedded():
    measure = RobustnessMeasure(pairs(), "test", 30)

    assert len(measure.chosen) == 30
    assert len(set(measure.texts())) <= 30 * (2 + len(PERTURBATIONS))
    assert measured(whole_string, pairs(), 30).values["robustness/typos_affected"] == 30


def test_two_models_are_compared_draw_by_draw_and_only_on_the_same_pairs():
    one, other = measured(whole_string, pairs()), measured(bag_of_words, pairs())
    elsewhere = measured(bag_of_words, pairs("en", "test"))

    for name, score in one.all_scores.items():
        assert len(score.minus(other.all_scores[name]).draws) == 2000
        with pytest.raises(ValueError, match="not of the same rows"):
            score.minus(elsewhere.all_scores[name])
    drops = [score for name, score in one.scores.items() if name.endswith("_drop")]
    assert len({score.sample for score in drops}) == len(drops)


def test_what_reaches_too_few_pairs_is_named():
    found = measured(bag_of_words, pairs("hi"))

    assert found.notes == (
        "sts test: robustness is measured on 20 pairs and more; too few pairs are changed by case (0), numbers (0).",
    )
    assert not any("case" in name or "numbers" in name for name in found.metrics())


def test_a_language_without_negation_is_named():
    rows = [
        StsRow(f"Der Mann {deed} im Garten", f"Ein Mann {deed} dort", 0.8) for deed in ("singt", "liest", "schläft")
    ] * 10

    found = measured(whole_string, rows)

    assert found.notes[0] == (
        "sts test: robustness to negation is not measured, because the pairs' language is not a supported one "
        "(en, hi, mr, ta, te)."
    )
    assert "robustness/scrambled_drop" in found.scores


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        (blind, pairs()),
        (silent, pairs()),
        (whole_string, [StsRow(row.sentence1, row.sentence2, 0.7) for row in pairs()]),
        (whole_string, []),
        (whole_string, pairs()[:1]),
        (whole_string, pairs()[:20]),
    ],
    ids=["collapsed", "zeros", "one score", "no pair", "one pair", "few pairs"],
)
def test_what_has_no_answer_is_a_note_and_never_nan(model, rows):
    found = measured(model, rows)

    assert all(math.isfinite(value) for value in found.metrics().values())
    assert found.notes


def test_a_model_that_sees_nothing_has_no_rank_correlation_to_lose():
    found = measured(blind, pairs())

    assert found.notes[-1] == (
        "sts test: no robustness to typos, dropped_words, swapped_words, case, punctuation: all pairs have the same "
        "score or the same similarity, so there is no order to lose."
    )
    assert found.scores["robustness/negation_drop"].value == 0
    assert found.scores["robustness/negation_noticed"].value == 0.5
