"""The picture of a model's speed beside its base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from sbert_prune.evaluation.efficiency.cells import Cell
    from sbert_prune.evaluation.efficiency.flops import Flops
    from sbert_prune.evaluation.efficiency.speed import Speed

_BAR = 0.38
_LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}


def speed_chart(speed: Speed, flops: Flops) -> Figure:
    """Sentences per second by length and batch size, and the speed-up over the base with its 95 % interval and its limit by FLOPs.

    Without a base there are its own bars alone.
    """
    cells = speed.table
    compared = speed.batched.speedup is not None
    figure = Figure(figsize=(11 if compared else 6.5, 1.8 + 0.5 * len(cells)), layout="constrained")
    panels = figure.subplots(1, 2 if compared else 1, sharey=True, squeeze=False)[0]
    _bars(panels[0], cells)
    if compared:
        _ratios(panels[1], cells, flops)
    figure.suptitle(f"Speed on {speed.conditions}", fontsize=11)
    return figure


def _bars(axes: Axes, cells: Sequence[Cell]) -> None:
    rows = range(len(cells))
    if any(cell.base_sentences_per_s is not None for cell in cells):
        base = axes.barh([row + _BAR / 2 for row in rows], [cell.base_sentences_per_s or 0 for cell in cells], _BAR, color="tab:gray")
        axes.bar_label(base, [f"{cell.base_sentences_per_s:,.0f}" for cell in cells], padding=3, fontsize=8)
        base.set_label("base")
    model = axes.barh([row - _BAR / 2 for row in rows], [cell.sentences_per_s for cell in cells], _BAR, color="tab:blue")
    axes.bar_label(model, [f"{cell.sentences_per_s:,.0f}" for cell in cells], padding=3, fontsize=8)
    model.set_label("model")
    axes.set_yticks(rows, [label_of(cell) for cell in cells])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("sentences/s")
    axes.legend(handles=axes.containers[::-1], loc="lower right", fontsize=8)
    axes.grid(alpha=0.3, axis="x")


def _ratios(axes: Axes, cells: Sequence[Cell], flops: Flops) -> None:
    for row, cell in enumerate(cells):
        if (ratio := cell.speedup) is not None:
            ends = [[ratio.value - ratio.low], [ratio.high - ratio.value]]
            axes.errorbar(ratio.value, row, xerr=ends, fmt="o", color="tab:blue", capsize=3)
            text = f"{ratio.value:.2f}x"
            axes.annotate(text, (ratio.value, row), xytext=(0, 8), textcoords="offset points", fontsize=8, ha="center", bbox=_LABEL)
    axes.axvline(1, color="tab:gray", label="the base")
    if (limit := flops.speedup_limit) is not None:
        axes.axvline(limit, color="tab:red", linestyle="--", label=f"limit by FLOPs at {flops.pieces} pieces: {limit:.2f}x")
    axes.set_xlim(left=min(0.9, axes.get_xlim()[0]))
    axes.set_xlabel("speed-up: median of the pairs' ratios, 95 % interval")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2, fontsize=8)
    axes.grid(alpha=0.3, axis="x")


def label_of(cell: Cell) -> str:
    """What the texts of a cell are, for people."""
    return f"{cell.bucket}{'' if cell.bucket[0].isdigit() else f' ({cell.pieces:.0f} pieces)'}, {cell.batch_size} at once"
