"""The chart of the layers draws the analysis, each layer at its position in the base."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from sbert_prune.evaluation.bootstrap import Score
from sbert_prune.evaluation.geometry import Geometry
from sbert_prune.layer_analysis.anatomy import Anatomy, AtDepth
from sbert_prune.layers import LayerSelection
from sbert_prune.report.layers import HEADING, layer_rows, layers_chart

PANELS = ("Similarity", "Score", "Block Influence", "Attention entropy", "Anisotropy", "Effective rank")


def anatomy(depth, *, attention=True, exits=True, scale=1.0):
    shares = [scale * number / depth for number in range(depth + 1)]
    depths = [
        AtDepth(
            0.5 + share / 2,
            share,
            Score(share / 2, np.array([share / 2 - 0.1, share / 2 + 0.1]), "s", 50) if exits else None,
            Geometry(0.3 - share / 4, 10 * scale + share, 0.2),
        )
        for share in shares
    ]
    influence = tuple(share / 10 for share in shares[1:])
    return Anatomy(tuple(depths), influence, tuple(shares[1:]) if attention else None, 200, 380, 128)


@pytest.fixture
def figure():
    return layers_chart(anatomy(2), anatomy(4), LayerSelection((1, 3), 4))


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title().startswith(title))


@pytest.mark.parametrize("title", PANELS)
def test_the_variants_layers_stand_at_their_old_places_beside_the_bases(figure, title):
    lines = [line for line in panel(figure, title).get_lines() if len(line.get_xdata()) > 1]

    first = 1 if title in {"Block Influence", "Attention entropy"} else 0
    places = {tuple(np.round(np.asarray(line.get_xdata(), dtype=float)).astype(int)) for line in lines}
    assert places == {(0, 1, 2, 3, 4)[first:], (0, 2, 4)[first:]}


@pytest.mark.parametrize("title", PANELS)
def test_the_dropped_layers_are_hatched_in_every_panel(figure, title):
    bands = [patch for patch in panel(figure, title).patches if isinstance(patch, Rectangle) and patch.get_hatch()]

    assert [(band.get_x(), band.get_x() + band.get_width()) for band in bands] == [(0.5, 1.5), (2.5, 3.5)]


def test_the_numbers_drawn_are_those_of_the_analysis(figure):
    seen = anatomy(2)

    def drawn(title):
        return [list(line.get_ydata()) for line in panel(figure, title).get_lines()]

    assert [at.cosine for at in seen.depths] in drawn("Similarity")
    assert [at.cka for at in seen.depths] in drawn("Similarity")
    assert [at.exit.value for at in seen.depths] in drawn("Score")
    assert list(seen.influence) in drawn("Block Influence")
    assert list(seen.attention) in drawn("Attention entropy")
    assert [at.geometry.anisotropy for at in seen.depths] in drawn("Anisotropy")
    assert [at.geometry.effective_rank for at in seen.depths] in drawn("Effective rank")


def test_nothing_that_is_drawn_lies_outside_of_its_panel():
    figure = layers_chart(anatomy(2), anatomy(4, scale=0.1), LayerSelection((1, 3), 4))

    for axes in figure.axes:
        low, high = axes.get_ylim()
        drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()])
        assert low <= drawn.min() <= drawn.max() <= high


def test_the_bars_are_the_scores_intervals(figure):
    bars = panel(figure, "Score").containers[-1].lines[2][0].get_segments()  # the variant's

    for bar, at_depth in zip(bars, anatomy(2).depths, strict=True):
        assert bar[:, 1] == pytest.approx([at_depth.exit.low, at_depth.exit.high])


def test_every_panel_has_its_units_and_the_models_their_names(figure):
    (legend,) = figure.legends

    assert [text.get_text() for text in legend.get_texts()] == [
        "variant, layers 1,3",
        "base, 4 layers",
        "dropped layer",
    ]
    assert all(axes.get_ylabel() for axes in figure.axes)
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == ["emb.", "0", "1", "2", "3"]
    assert figure.axes[-1].get_xlabel() == "after layer (of the base)"


def test_a_model_alone_is_drawn_without_a_base_or_dropped_layers():
    figure = layers_chart(anatomy(3), None, LayerSelection.all(3))

    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["variant, layers 0-2"]
    assert len(panel(figure, "Anisotropy").get_lines()) == 1


def test_many_layers_are_not_all_named():
    figure = layers_chart(anatomy(3), anatomy(28), LayerSelection((0, 9, 27), 28))

    assert len(figure.axes[-1].get_xticklabels()) <= 15


def test_what_was_not_measured_is_noted_or_left_out():
    figure = layers_chart(anatomy(2, attention=False, exits=False), anatomy(4), LayerSelection((1, 3), 4))

    assert [text.get_text() for text in panel(figure, "Attention").texts] == ["not returned by this encoder"]
    assert len([line for line in panel(figure, "Score").get_lines() if len(line.get_xdata()) == 5]) > 0
    assert layer_rows(anatomy(2, attention=False, exits=False), (1, 3))[1][3:6] == ("none", "0.050", "not shown")


@pytest.mark.parametrize(
    ("num_layers", "depth", "message"),
    [
        (3, 4, "layers 1,3 of 4 do not match the analysis, which has 3 of 4 layers"),
        (2, 6, "layers 1,3 of 4 do not match the analysis, which has 2 of 6 layers"),
    ],
)
def test_a_selection_of_other_models_is_refused(num_layers, depth, message):
    with pytest.raises(ValueError, match=message):
        layers_chart(anatomy(num_layers), anatomy(depth), LayerSelection((1, 3), 4))


def test_a_row_has_the_measurements_after_a_layer_of_the_base():
    rows = layer_rows(anatomy(2), (1, 3))

    assert [row[0] for row in rows] == ["embeddings", "1", "3"]
    assert dict(zip(HEADING, rows[0], strict=True))["Block Influence"] == ""
    assert rows[1] == ("1", "0.750", "0.500", "0.250 (0.155 to 0.345)", "0.050", "0.50", "0.175", "10.5")
