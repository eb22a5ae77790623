"""Correlations agree with scipy's, whole and resampled."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from sbert_prune.errors import DataError
from sbert_prune.evaluation.correlation import ResampledPearson, ResampledSpearman, correlate, spearman

small_integers = st.integers(-4, 4).map(float)  # so that ties are common
pairs_of_numbers = st.lists(st.tuples(small_integers, small_integers), min_size=3, max_size=40)
RESAMPLED = {"spearman": (ResampledSpearman, spearmanr), "pearson": (ResampledPearson, pearsonr)}


@settings(deadline=None)
@given(pairs=pairs_of_numbers)
def test_spearman_is_scipys_with_ties(pairs):
    left, right = np.array(pairs).T
    assume(np.ptp(left) > 0)
    assume(np.ptp(right) > 0)

    assert spearman(left[None], right[None])[0] == pytest.approx(spearmanr(left, right).statistic, abs=1e-12)


@settings(deadline=None)
@given(pairs=pairs_of_numbers)
def test_correlate_is_scipys_pearson(pairs):
    left, right = np.array(pairs).T
    assume(np.ptp(left) > 0)
    assume(np.ptp(right) > 0)

    assert correlate(left[None], right[None])[0] == pytest.approx(pearsonr(left, right).statistic, abs=1e-12)


def test_each_row_is_correlated_for_itself():
    left, right = np.random.default_rng(0).integers(0, 5, (2, 6, 30)).astype(float)

    together = spearman(left, right)

    assert np.allclose(together, [spearmanr(one, other).statistic for one, other in zip(left, right, strict=True)])


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, 123456.789])
@pytest.mark.parametrize("function", [correlate, spearman])
def test_a_constant_row_has_no_correlation(function, value):
    constant, varied = np.full((1, 7), value), np.arange(7.0)[None] ** 2

    assert np.isnan(function(constant, varied)).all()
    assert np.isnan(function(varied, constant)).all()


@given(order=st.permutations(range(8)))
def test_spearman_sees_nothing_but_the_order(order):
    gold, predicted = np.array(order, dtype=float), np.arange(8.0)

    assert spearman(np.exp(gold)[None], predicted[None])[0] == pytest.approx(spearman(gold[None], predicted[None])[0])


@settings(deadline=None)
@given(data=st.data(), pairs=pairs_of_numbers, name=st.sampled_from(sorted(RESAMPLED)))
def test_a_resample_scores_as_its_pairs_written_out(data, pairs, name):
    left, right = np.array(pairs).T
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(left), max_size=len(left))))
    drawn = np.repeat(np.arange(len(left)), counts)
    assume(len(drawn) > 2 and np.ptp(left[drawn]) > 0 and np.ptp(right[drawn]) > 0)
    resampled, scipys = RESAMPLED[name]

    found = resampled(left, right)(counts[None].astype(float))

    assert found[0] == pytest.approx(scipys(left[drawn], right[drawn]).statistic, abs=1e-9)


@pytest.mark.parametrize("resampled", [ResampledSpearman, ResampledPearson])
def test_a_resample_of_equal_pairs_has_no_correlation(resampled):
    left, right = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.5, 1.0])
    counts = np.array([[3.0, 0, 0], [0, 3, 0], [1, 1, 1]])

    found = resampled(left, right)(counts)

    assert np.isnan(found[:2]).all()
    assert found[2] == pytest.approx(1)


@pytest.mark.parametrize("resampled", [ResampledSpearman, ResampledPearson])
@pytest.mark.parametrize(
    ("predicted", "gold", "message"),
    [
        ([0.1, np.nan, 0.3], [0.0, 0.5, 1.0], "1 of 3 similarities are not finite, so they cannot be ranked"),
        ([0.1, 0.2, 0.3], [0.0, np.inf, np.nan], "2 of 3 scores are not finite"),
        ([], [], "0 similarities and 0 scores cannot be correlated"),
        ([0.1, 0.2], [0.1], "2 similarities and 1 scores cannot be correlated"),
    ],
)
def test_what_has_no_rank_is_refused(resampled, predicted, gold, message):
    with pytest.raises(DataError, match=message):
        resampled(np.array(predicted), np.array(gold))


@pytest.mark.parametrize("resampled", [ResampledSpearman, ResampledPearson])
def test_a_single_pair_has_no_correlation(resampled):
    assert np.isnan(resampled(np.array([0.5]), np.array([0.7]))(np.ones((1, 1)))).all()


def test_similarities_that_hardly_differ_are_correlated_all_the_same():
    gold = np.random.default_rng(0).random(60)
    predicted = 0.99 + 1e-9 * gold

    found = ResampledPearson(predicted, gold)(np.ones((1, 60)))

    assert found[0] == pytest.approx(1, abs=1e-6)
