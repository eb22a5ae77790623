"""The charts of all variants and of the layers' similarity."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from sbert_prune.layers import LayerSelection
from sbert_prune.registry.version import Version
from sbert_prune.report.charts import scatter, similarity_map


def version(number: str, *, size: float, role: str = "variant", **left_out: None) -> Version:
    metrics = {
        "sts_test/spearman_cosine": 0.8,
        "sts_test/spearman_cosine_low": 0.7,
        "sts_test/spearman_cosine_high": 0.9,
        "speed/speedup": 2.0,
        "size/disk_mb": size,
    }
    return Version(
        "m",
        number,
        "run",
        "None",
        {"kept_layers": "0-5", "role": role},
        {k: v for k, v in metrics.items() if k not in left_out},
    )


def discs(figure) -> list[float]:
    (axes,) = figure.axes
    return [
        float(collection.get_sizes()[0]) for collection in axes.collections if isinstance(collection, PathCollection)
    ]


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


def test_the_similarity_map_names_every_depth_and_marks_the_dropped_layers_on_both_axes():
    figure = similarity_map(np.eye(4), LayerSelection((0, 2), 3), title="bert, cka")

    axes = figure.axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["embeddings", "0", "dropped 1", "2"]
        assert [label.get_color() == "tab:red" for label in labels] == [False, False, True, False]
    assert axes.get_title() == "bert, cka"


def test_the_similarity_map_shows_the_numbers_it_was_given():
    matrix = np.linspace(0, 1, 9).reshape(3, 3)

    figure = similarity_map(matrix, LayerSelection.all(2), title="")

    assert np.array_equal(figure.axes[0].images[0].get_array(), matrix)
