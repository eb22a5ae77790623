"""Each metric is one row, which says what it is, which way is better, and where it is repeated."""

import numpy as np
import pytest

from sbert_prune.evaluation.bootstrap import Score
from sbert_prune.evaluation.comparison import gain
from sbert_prune.evaluation.perturbations.table import PERTURBATIONS
from sbert_prune.metrics import METRICS, headlines, metric_of


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_less_of_a_drop_is_better_where_the_meaning_stays(kind):
    assert metric_of(f"robustness/{kind}_drop").less_is_better == PERTURBATIONS[kind].keeps_meaning


def test_values_are_repeated_and_intervals_where_the_row_says_so():
    interval = {"sts_x/spearman_cosine": 1.0, "sts_x/spearman_cosine_low": 0.9, "sts_x/spearman_cosine_high": 1.1}
    value, details = {"sts_x/pearson_cosine": 1.0}, {"sts_x/pearson_cosine_low": 0.9, "sts_x/spearman_dot": 1.0}

    assert headlines(interval | value | details | {"unknown": 1.0}) == interval | value


def test_a_gain_is_positive_where_a_lower_value_is_better():
    lower = Score(-0.1, np.full(100, -0.1), "sample", 20)

    assert gain("size/disk_mb", lower).value == 0.1
    assert gain("sts_test/spearman_cosine", lower).value == -0.1


def test_no_row_hides_another():
    names = [metric.name for metric in METRICS]

    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric_of(metric.name.replace("*", "any")) is metric, metric.name
