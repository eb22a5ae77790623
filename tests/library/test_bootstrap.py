"""Intervals cover the truth as often as they claim, and only real differences are reported as such."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.evaluation.bootstrap import Score, draw_counts, mean_of, resample, verdict
from sbert_prune.evaluation.correlation import ResampledPearson, ResampledSpearman


def correlated(rng, num_pairs, correlation):
    """Pairs from a normal distribution with the given correlation. *Shape:* (2, num_pairs)"""
    left, noise = rng.standard_normal((2, num_pairs))
    return np.stack([left, correlation * left + np.sqrt(1 - correlation**2) * noise])


def score(predicted, gold, *, resamples=2000, seed=0, sample="pairs"):
    return resample({"s": ResampledSpearman(predicted, gold)}, len(gold), sample, resamples=resamples, seed=seed)["s"]


def rivals(rng, num_pairs, noises):
    """Scores of models whose predictions are the truth and noise of so many deviations, on the same pairs."""
    gold = rng.random(num_pairs)
    return [score(gold + noise * rng.standard_normal(num_pairs), gold, resamples=500) for noise in noises]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), num_pairs=st.integers(20, 200), correlation=st.floats(-0.95, 0.95))
def test_the_interval_contains_the_value(seed, num_pairs, correlation):
    found = score(*correlated(np.random.default_rng(seed), num_pairs, correlation), resamples=300)

    low, high = found.interval()
    assert -1 <= low <= found.value <= high <= 1


def test_the_interval_is_half_as_wide_for_four_times_the_pairs():
    predicted, gold = correlated(np.random.default_rng(0), 1600, 0.7)

    widths = [np.ptp(score(predicted[:num], gold[:num]).interval()) for num in (50, 200, 800)]

    assert 1.4 < widths[0] / widths[1] < 2.8
    assert 1.4 < widths[1] / widths[2] < 2.8


def test_the_interval_is_wider_for_a_higher_level():
    found = score(*correlated(np.random.default_rng(0), 100, 0.5))

    narrow, wide = found.interval(0.5), found.interval(0.99)

    assert wide[0] < narrow[0] < found.value < narrow[1] < wide[1]


@pytest.mark.parametrize("resamples", [1, 99, 2622, 5300])
def test_the_same_seed_draws_the_same_rows(resamples):
    drawn = [np.concatenate(list(draw_counts(100, resamples, seed))) for seed in (1, 1, 2)]

    assert drawn[0].shape == (resamples, 100)
    assert (drawn[0].sum(axis=1) == 100).all()
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


@pytest.mark.parametrize(("num_pairs", "correlation"), [(20, 0.6), (50, 0.9), (200, 0.6)])
def test_the_interval_holds_the_truth_about_95_times_of_100(num_pairs, correlation):
    rng = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(correlation / 2)  # Spearman of a normal distribution

    intervals = [
        score(*correlated(rng, num_pairs, correlation), resamples=500, seed=draw).interval() for draw in range(300)
    ]

    held = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.91 <= held <= 0.985


def test_the_interval_of_a_difference_holds_0_about_95_times_of_100_for_equal_models():
    rng = np.random.default_rng(1)

    differences = [one.minus(other) for one, other in (rivals(rng, 150, (0.4, 0.4)) for _ in range(300))]

    held = np.mean([low <= 0 <= high for low, high in (difference.interval() for difference in differences)])
    assert 0.91 <= held <= 0.985


def test_a_model_that_is_worse_by_construction_is_called_worse_and_the_other_better():
    rng = np.random.default_rng(2)

    good, bad = rivals(rng, 1379, (0.2, 0.26))

    assert verdict(bad.minus(good)) == "worse"
    assert verdict(good.minus(bad)) == "better"
    assert bad.minus(good).probability_below(-0.01) > 0.95


def test_a_small_but_certain_difference_is_reported_as_small():
    rng = np.random.default_rng(9)
    gold = rng.random(20_000)
    predicted = gold + 0.1 * rng.standard_normal(20_000)

    one, other = (
        score(predicted, gold, resamples=300),
        score(predicted + 0.02 * rng.standard_normal(20_000), gold, resamples=300),
    )

    assert verdict(other.minus(one)) == "worse, within 0.01"
    assert verdict(one.minus(other)) == "better, within 0.01"


def test_an_equal_model_is_seldom_called_worse():
    rng = np.random.default_rng(3)

    verdicts = [verdict(one.minus(other)) for one, other in (rivals(rng, 400, (0.3, 0.3)) for _ in range(100))]

    assert sum(found.startswith("worse") for found in verdicts) <= 7


def test_the_same_model_is_as_good_as_itself():
    same = score(*correlated(np.random.default_rng(4), 60, 0.8))

    assert verdict(same.minus(same)) == "as good within 0.01"
    assert same.minus(same).interval() == (0, 0)
    assert same.over(same).interval() == (1, 1)


def test_few_pairs_do_not_distinguish_two_models():
    one, other = rivals(np.random.default_rng(5), 25, (0.3, 0.33))

    assert verdict(other.minus(one)) == "not told apart"


def test_pairing_narrows_the_interval_of_a_difference():
    rng = np.random.default_rng(6)
    gold = rng.random(500)
    predicted = gold + 0.3 * rng.standard_normal(500)
    one, other = score(predicted, gold), score(predicted + 0.02 * rng.standard_normal(500), gold)

    width = np.ptp(other.minus(one).interval())

    assert width < np.ptp(one.interval()) / 4


def test_scores_of_different_rows_are_not_compared():
    predicted, gold = correlated(np.random.default_rng(0), 30, 0.5)

    with pytest.raises(ValueError, match="scores of one and of other are not of the same rows"):
        score(predicted, gold, sample="one").minus(score(predicted, gold, sample="other"))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_prediction_has_an_interval_without_width(sign):
    gold = np.arange(30.0)

    found = score(sign * gold, gold)

    assert (found.value, *found.interval()) == pytest.approx((sign, sign, sign))


def test_resamples_that_are_constant_do_not_make_the_interval_nan():
    predicted, gold = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.5, 1.0])  # a resample in nine is one pair three times

    found = score(predicted, gold)

    assert np.isnan(found.draws).any()
    assert np.isfinite(found.interval()).all()
    assert 0 <= found.probability_below(0.5) <= 1


def test_a_score_without_any_resample_has_no_interval():
    assert np.isnan(Score(0.5, np.full(10, np.nan), "x", 10).interval()).all()


def test_a_mean_has_the_interval_of_the_normal_distribution():
    values = np.random.default_rng(7).standard_normal(400)

    found = resample({"mean": mean_of(values)}, 400, "x")["mean"]

    width = 1.96 * values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.interval() == pytest.approx((values.mean() - width, values.mean() + width), abs=width / 10)


def test_statistics_of_one_call_and_of_several_are_drawn_on_the_same_rows():
    predicted, gold = correlated(np.random.default_rng(8), 80, 0.5)
    statistics = {"s": ResampledSpearman(predicted, gold), "p": ResampledPearson(predicted, gold)}

    together = resample(statistics, 80, "x", resamples=50)
    alone = resample({"p": statistics["p"]}, 80, "x", resamples=50)

    assert (together["p"].draws == alone["p"].draws).all()


def test_many_rows_are_resampled_less_often():
    statistic = {"mean": mean_of(np.zeros(1000))}

    draws = [resample(statistic, 1000, "x", most_cells=most)["mean"].draws for most in (4_000_000, 10)]

    assert list(map(len, draws)) == [4000, 1000]


def test_a_handful_of_pairs_never_shows_that_two_models_are_as_good():
    rng = np.random.default_rng(10)

    verdicts = {
        verdict(other.minus(one))
        for one, other in (rivals(rng, num, (0.3, 1.0)) for num in (3, 5, 10) for _ in range(20))
    }

    assert verdicts == {"not told apart"}
