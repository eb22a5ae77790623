"""Correlations agree with scipy's, and intervals hold the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from sbert_prune.evaluation.significance import bootstrap_spearman, correlate, spearman

small_integers = st.integers(-4, 4).map(float)  # so that ties are common
pairs_of_numbers = st.lists(st.tuples(small_integers, small_integers), min_size=3, max_size=40)


def correlated(rng, num_pairs, correlation):
    """Pairs from a normal distribution with the given correlation. *Shape:* (2, num_pairs)"""
    left, noise = rng.standard_normal((2, num_pairs))
    return np.stack([left, correlation * left + np.sqrt(1 - correlation**2) * noise])


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


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), num_pairs=st.integers(20, 200), correlation=st.floats(-0.95, 0.95))
def test_the_interval_contains_the_value(seed, num_pairs, correlation):
    predicted, gold = correlated(np.random.default_rng(seed), num_pairs, correlation)

    interval = bootstrap_spearman(predicted, gold, resamples=300)

    assert -1 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.value == pytest.approx(spearmanr(predicted, gold).statistic)


def test_the_interval_is_wider_for_fewer_pairs():
    predicted, gold = correlated(np.random.default_rng(0), 1600, 0.7)

    widths = []
    for num_pairs in (50, 200, 800):
        interval = bootstrap_spearman(predicted[:num_pairs], gold[:num_pairs])
        widths.append(interval.high - interval.low)

    # Four times the pairs, half the width.
    assert 1.4 < widths[0] / widths[1] < 2.8
    assert 1.4 < widths[1] / widths[2] < 2.8


def test_the_interval_is_wider_for_a_higher_level():
    predicted, gold = correlated(np.random.default_rng(0), 100, 0.5)

    narrow, wide = (bootstrap_spearman(predicted, gold, level=level) for level in (0.5, 0.99))

    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


@pytest.mark.parametrize("resamples", [1, 99, 100, 101, 250])
def test_the_same_seed_draws_the_same_interval(resamples):
    predicted, gold = correlated(np.random.default_rng(0), 60, 0.5)

    one, same, other = (bootstrap_spearman(predicted, gold, resamples=resamples, seed=seed) for seed in (1, 1, 2))

    assert one == same
    assert one != other


def test_the_interval_holds_the_truth_about_95_times_of_100():
    rng = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman of a normal distribution with correlation 0.6

    intervals = [bootstrap_spearman(*correlated(rng, 100, 0.6), resamples=300, seed=draw) for draw in range(200)]

    held = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.88 <= held <= 0.99


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_prediction_has_an_interval_without_width(sign):
    gold = np.arange(30.0)

    interval = bootstrap_spearman(sign * gold, gold)

    assert (interval.value, interval.low, interval.high) == pytest.approx((sign, sign, sign))


def test_resamples_that_are_constant_do_not_make_the_interval_nan():
    predicted, gold = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.5, 1.0])  # a resample in nine is one pair three times

    interval = bootstrap_spearman(predicted, gold)

    assert np.isfinite([interval.value, interval.low, interval.high]).all()
