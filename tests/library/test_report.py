"""The picture of all variants."""

import pytest
from matplotlib.collections import PathCollection

from sbert_prune.registry import Version
from sbert_prune.report import scatter


def version(number: str, *, size: float, role: str = "variant", **left_out: None) -> Version:
    metrics = {
        "sts_test/spearman_cosine": 0.8,
        "sts_test/spearman_cosine_low": 0.7,
        "sts_test/spearman_cosine_high": 0.9,
        "speed/speedup": 2.0,
        "size/disk_mb": size,
    }
    return Version(
        "m", number, "run", "None", {"kept_layers": "0-5", "role": role}, {k: v for k, v in metrics.items() if k not in left_out}
    )


def discs(figure) -> list[float]:
    (axes,) = figure.axes
    return [float(collection.get_sizes()[0]) for collection in axes.collections if isinstance(collection, PathCollection)]


def test_the_area_of_a_disc_is_in_proportion_to_the_bytes():
    small, large = discs(scatter([version("1", size=10), version("2", size=40)]))

    assert large / small == pytest.approx(4)


def test_a_version_without_a_speed_up_is_left_out():
    figure = scatter([version("1", size=10), version("2", size=10, **{"speed/speedup": None})])

    assert len(discs(figure)) == 1


def test_every_disc_says_its_version_layers_and_size():
    figure = scatter([version("7", size=11.32)])

    assert "v7: layers 0-5, 11.3 MB" in [text.get_text() for text in figure.axes[0].texts]


def test_no_variant_yet_is_an_empty_picture():
    assert discs(scatter([])) == []
