"""The chart of a model's speed compared with its base."""

import pytest

from sbert_prune.evaluation.efficiency.flops import Flops
from sbert_prune.evaluation.efficiency.speed import Cell, Speed
from sbert_prune.evaluation.efficiency.timing import Conditions, Ratio
from sbert_prune.report.charts import speed_chart


def speed(*, compared):
    def cell(bucket, batch_size, per_s):
        return Cell(
            bucket,
            15.0,
            batch_size,
            8,
            per_s,
            per_s / 2 if compared else None,
            Ratio(2.0, 1.5, 2.25) if compared else None,
        )

    cells = (cell("16 pieces", 1, 120.0), cell("16 pieces", 32, 900.0))
    own = cell("own sentences", 1, 100.0), cell("own sentences", 32, 1000.0)
    return Speed(9.0, 12.0, 14.0, *own, cells, (), Conditions("cpu", 1, 2, "1", "x86, 2 cores"), 5.0)


def test_every_cell_is_named_with_both_rates_its_ratio_and_the_limit():
    bars, ratios = speed_chart(speed(compared=True), Flops(15, 10, 25)).axes

    assert [label.get_text() for label in bars.get_yticklabels()] == [
        "own sentences (15 pieces), 1 at once",
        "own sentences (15 pieces), 32 at once",
        "16 pieces, 1 at once",
        "16 pieces, 32 at once",
    ]
    assert {"100", "50", "1,000", "500", "120", "60", "900", "450"} == {text.get_text() for text in bars.texts}
    assert [text.get_text() for text in ratios.texts] == ["2.00x"] * 4
    assert "limit by FLOPs at 15 pieces: 2.50x" in [text.get_text() for text in ratios.get_legend().get_texts()]
    shown = ratios.get_xlim()
    assert shown[0] < 1
    assert shown[1] > 2.5


def test_without_a_base_there_are_the_models_own_bars():
    (bars,) = speed_chart(speed(compared=False), Flops(15, 10, None)).axes

    assert [text.get_text() for text in bars.get_legend().get_texts()] == ["model"]


@pytest.mark.parametrize("compared", [True, False])
def test_the_title_says_what_it_was_measured_on(compared):
    figure = speed_chart(speed(compared=compared), Flops(15, 10, None))

    assert figure.get_suptitle() == "Speed on cpu, 1 thread (OMP_NUM_THREADS=1; 2 between operations)"
