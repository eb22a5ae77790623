"""The interval over seeds holds for other pairs and for other seeds."""

import numpy as np
import pytest

from sbert_prune.evaluation.bootstrap import mean_of, over_seeds, resample


def scores(rng, *, of_seeds, num_seeds=3, num_rows=200):
    """Of models that differ by their seeds, and judge rows that differ in difficulty; the truth is 0.7."""
    rows = 0.3 * rng.standard_normal(num_rows)
    seeds = of_seeds * rng.standard_normal(num_seeds)
    values = [0.7 + seed + rows + 0.1 * rng.standard_normal(num_rows) for seed in seeds]
    return [resample({"m": mean_of(value)}, num_rows, "x", resamples=300)["m"] for value in values]


@pytest.mark.parametrize("of_seeds", [0.0, 0.02, 0.1])
def test_the_interval_holds_the_truth_about_95_times_of_100(of_seeds):
    rng = np.random.default_rng(0)

    found = [over_seeds(scores(rng, of_seeds=of_seeds)) for _ in range(300)]

    assert 0.9 <= np.mean([one.low <= 0.7 <= one.high for one in found]) <= 0.99


def test_mean_and_deviation_are_those_of_the_values():
    given = scores(np.random.default_rng(1), of_seeds=0.1)

    found = over_seeds(given)

    assert found.values == tuple(score.value for score in given)
    assert found.mean == pytest.approx(np.mean(found.values))
    assert found.deviation == pytest.approx(np.std(found.values, ddof=1))
    assert found.low < found.mean < found.high


def test_equal_seeds_have_the_interval_of_one():
    one = scores(np.random.default_rng(2), of_seeds=0.0)[0]

    found = over_seeds([one, one, one])

    assert found.deviation == 0
    assert (found.low, found.high) == pytest.approx(one.interval(), abs=0.01)


def test_two_seeds_that_disagree_have_a_wide_interval():
    rng = np.random.default_rng(3)
    near, far = scores(rng, of_seeds=0.0, num_seeds=2), scores(rng, of_seeds=0.2, num_seeds=2)

    assert np.ptp([over_seeds(far).low, over_seeds(far).high]) > 5 * np.ptp(
        [over_seeds(near).low, over_seeds(near).high]
    )


def test_one_seed_is_not_enough():
    with pytest.raises(ValueError, match="1 seeds are too few to estimate their spread"):
        over_seeds(scores(np.random.default_rng(4), of_seeds=0.1, num_seeds=1))


def test_scores_of_different_rows_have_no_mean():
    rng = np.random.default_rng(5)

    with pytest.raises(ValueError, match="not of the same rows"):
        over_seeds(
            [
                *scores(rng, of_seeds=0, num_rows=50),
                resample({"m": mean_of(rng.random(50))}, 50, "y", resamples=300)["m"],
            ]
        )


def test_the_probability_below_a_bound_is_that_of_the_interval():
    found = over_seeds(scores(np.random.default_rng(6), of_seeds=0.05))

    assert found.probability_below(found.low) == pytest.approx(0.025)
    assert found.probability_below(found.high) == pytest.approx(0.975)
    assert found.probability_below(found.mean) == pytest.approx(0.5)
