"""The knee of a curve is where it bends, whatever the units, and a curve without one has none."""

import pytest

from sbert_prune.evaluation.frontier import find_knee

SIZES = [10.0, 20.0, 30.0, 40.0, 50.0]


def test_the_knee_is_where_further_size_buys_little():
    assert find_knee(SIZES, [0.60, 0.78, 0.80, 0.81, 0.82]) == 1


def test_units_and_order_do_not_matter():
    scores = [0.60, 0.70, 0.80, 0.81, 0.82]

    assert (
        find_knee(SIZES, scores)
        == find_knee([1000 * size for size in SIZES], [100 * score - 7 for score in scores])
        == 2
    )
    assert find_knee(SIZES[::-1], scores[::-1]) == 2


def test_what_a_smaller_one_reaches_is_no_part_of_the_curve():
    assert find_knee([10, 20, 20, 30, 40], [0.6, 0.5, 0.79, 0.7, 0.8]) == 2


def test_what_lies_past_the_best_is_no_part_of_the_curve():
    assert find_knee([10, 20, 30, 40, 400], [0.6, 0.79, 0.795, 0.8, 0.7]) == 1


@pytest.mark.parametrize(
    ("sizes", "scores"),
    [
        ([], []),
        ([1], [0.5]),
        ([1, 2], [0.5, 0.6]),
        ([1, 1, 1], [0.5, 0.6, 0.7]),
        ([1, 2, 3], [0.5, 0.5, 0.5]),
        ([1, 2, 3], [0.7, 0.6, 0.5]),
        ([1, 2, 3], [0.5, 0.55, 0.7]),
    ],
    ids=["nothing", "one", "two", "one size", "flat", "falling", "no point above the line"],
)
def test_a_curve_that_does_not_bend_has_no_knee(sizes, scores):
    assert find_knee(sizes, scores) is None
