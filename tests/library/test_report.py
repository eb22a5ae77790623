"""The charts of all variants and of the layers' similarity; whether pruning is worth it beside rivals."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from sbert_prune.evaluation.dev_pairs import DevPairs
from sbert_prune.layers import LayerSelection
from sbert_prune.registry.version import Version
from sbert_prune.report.charts import scatter, similarity_map, view_of
from sbert_prune.report.comparison import Judged, worth_pruning


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


def test_the_speed_up_of_the_reference_is_1_by_definition():
    figure = scatter([version("1", size=10, role="reference"), version("2", size=10)])

    places = [
        collection.get_offsets()[0][0]
        for collection in figure.axes[0].collections
        if isinstance(collection, PathCollection)
    ]
    assert places == [1.0, 2.0]


def test_a_wide_interval_is_cut_so_that_the_others_can_be_told_apart():
    low, high = view_of([0.80, 0.82, 0.81], [(0.01, 0.01), (0.01, 0.01), (0.4, 0.1)])

    assert 0.77 < low < 0.79
    assert 0.83 < high < 0.86


def judged(name: str, *, noise: float, size: float, pairs: int = 400) -> Judged:
    random = np.random.default_rng(1)
    gold, error = random.random(pairs), random.normal(size=pairs)
    role = "rival" if name else "variant"
    made = Version(name, "" if name else "2", "run", "None", {"role": role}, {"size/disk_mb": size})
    return Judged(made, DevPairs("pairs", gold, gold + noise * error).score)


@pytest.mark.parametrize(
    ("rivals", "answer"),
    [
        ([{"noise": 0.1, "size": 4}], "Pruning is not worth it: a rival is no larger than "),
        ([{"noise": 0.05, "size": 6}], "Pruning is worth it: no rival is as small as "),
        ([{"noise": 0.4, "size": 4}, {"noise": 0.05, "size": 6}], "Pruning is worth it: no rival is as small as "),
        ([{"noise": 0.105, "size": 4, "pairs": 15}], "Too close to tell whether pruning is worth it"),
    ],
)
def test_pruning_is_worth_it_where_no_rival_is_as_small_and_as_good(rivals, answer):
    variant = judged("", noise=0.1, size=5, pairs=rivals[0].get("pairs", 400))

    text = worth_pruning(variant, [judged(f"org/m{number}", **rival) for number, rival in enumerate(rivals)])

    assert text.startswith(answer)
    assert "org/m0 (" in text
    assert "P(worse) " in text
