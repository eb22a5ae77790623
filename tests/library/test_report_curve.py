"""The depth curve shows every variant once, by strategy, with its dev and test scores."""

import pytest

from sbert_prune.registry.version import Version
from sbert_prune.report.curve import Point, curve_rows, depth_curve, knee_of


def point(number: int, num_layers: int, dev: float, *strategies: str, **left_out: None) -> Point:
    metrics = {
        "sts_dev/spearman_cosine": dev,
        "sts_test/spearman_cosine": dev - 0.05,
        "sts_test/spearman_cosine_low": dev - 0.1,
        "sts_test/spearman_cosine_high": dev,
        "quality/retention": dev,
        "speed/speedup": 12 / num_layers,
        "size/disk_mb": 5.0 + num_layers,
    }
    kept = {name: value for name, value in metrics.items() if name not in left_out}
    return Point(
        num_layers,
        strategies or ("drop-top",),
        Version("m", str(number), "run", "None", {"kept_layers": f"0-{num_layers - 1}"}, kept),
    )


POINTS = [point(1, 12, 0.80), point(2, 6, 0.79), point(3, 2, 0.70), point(4, 1, 0.60, "drop-top", "drop-alternate")]


def test_the_table_begins_with_the_largest_and_names_all_strategies_of_a_selection():
    rows = curve_rows(POINTS[::-1])

    assert [row[0] for row in rows] == ["12", "6", "2", "1"]
    assert rows[-1][1] == "drop-top, drop-alternate"
    assert rows[1][3:] == ("11.0 MB", "2.00x", "0.7900", "0.7400 [0.690, 0.790]", "79.0%", "models:/m/2")


def test_the_knee_is_chosen_by_dev_score():
    misleading = [
        point(1, 12, 0.80),
        point(2, 6, 0.79, **{"sts_test/spearman_cosine": None}),
        point(3, 2, 0.70),
        point(4, 1, 0.60),
    ]

    assert knee_of(POINTS) is POINTS[1]
    assert knee_of(misleading) is misleading[1]
    assert knee_of(POINTS[:2]) is None


def test_a_line_a_strategy_with_the_layers_beside_each_point():
    left, right = depth_curve(POINTS).axes

    assert [text.get_text() for text in left.texts] == ["1", "2", "6", "12"]
    assert left.get_legend_handles_labels()[1] == ["drop-top", "drop-alternate", "knee (by dev)"]
    assert {tuple(line.get_xdata()) for line in left.lines if len(line.get_xdata()) == 4} >= {(6.0, 7.0, 11.0, 17.0)}
    assert right.get_xlabel().startswith("speed-up")


def test_a_variant_that_was_not_tested_is_left_out_of_the_picture():
    left, _ = depth_curve([*POINTS[:3], point(4, 1, 0.6, **{"sts_test/spearman_cosine": None})]).axes

    assert [text.get_text() for text in left.texts] == ["2", "6", "12"]


@pytest.mark.parametrize("points", [[], POINTS[:1]])
def test_few_points_are_a_picture_too(points, tmp_path):
    depth_curve(points).savefig(tmp_path / "curve.png")

    assert (tmp_path / "curve.png").stat().st_size > 1000
