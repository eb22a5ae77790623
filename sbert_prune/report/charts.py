"""Charts of variants: quality against speed, similarity of layers, and speed by text length."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from sbert_prune.metrics import SIZE, SPEEDUP, STS_TEST
from sbert_prune.registry.version import REFERENCE, RIVAL
from sbert_prune.report.html import tip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from sbert_prune.evaluation.efficiency.flops import Flops
    from sbert_prune.evaluation.efficiency.speed import Cell, Speed
    from sbert_prune.layers import LayerSelection
    from sbert_prune.registry.version import Version

_NEEDED = (STS_TEST, SPEEDUP, SIZE)
_LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
_ABOVE: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "ha": "center", "bbox": _LABEL}
_LARGEST = 900.0  # area of the largest disc, in square points


_LEAST_ROOM = 0.005
_MOST_LABELS = 8
_COLOR_OF_ROLE = {REFERENCE: "tab:gray", RIVAL: "tab:orange"}


def view_of(values: Sequence[float], reaches: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the ends of an axis: all values are in view, and intervals that would squash them are cut.

    Args:
        values: The values.
        reaches: How far each interval reaches below and above its value.
    """
    spread, usual = max(values) - min(values), 1.5 * median(max(reach) for reach in reaches)
    room = max(spread, min(usual, 2 * spread or usual), _LEAST_ROOM)
    low, high = (max(side, default=0.0) for side in zip(*reaches, strict=True))
    pad = room / 10
    return min(values) - min(low, room) - pad, max(values) + min(high, room) + pad


def reach_of(metrics: Mapping[str, float], name: str) -> tuple[float, float]:
    """Return how far the interval of a metric reaches below and above it; 0 where it has none."""
    value = metrics[name]
    return value - metrics.get(f"{name}_low", value), metrics.get(f"{name}_high", value) - value


def fit_scores(axes: Axes, versions: Sequence[Version]) -> None:
    """Set the vertical axis to the test scores of versions."""
    if versions:
        reaches = [reach_of(version.metrics, STS_TEST) for version in versions]
        axes.set_ylim(view_of([version.metrics[STS_TEST] for version in versions], reaches))


def speedup_of(version: Version) -> float:
    """Return the speed-up of a version over its base: 1 for a reference, which has the same layers."""
    return 1.0 if version.is_reference else version.metrics[SPEEDUP]


def scatter(versions: Sequence[Version]) -> Figure:
    """Draw quality against speed-up over the base, one disc per version and rival.

    The area of a disc is the size on disk, the bar is the 95 % interval.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    scored = [version for version in versions if all(key in version.metrics for key in _NEEDED)]
    shown = sorted(scored, key=speedup_of)
    largest = max((version.metrics[SIZE] for version in shown), default=1.0)
    for place, version in enumerate(shown):
        score, size, speedup = version.metrics[STS_TEST], version.metrics[SIZE], speedup_of(version)
        low, high = reach_of(version.metrics, STS_TEST)
        color = _COLOR_OF_ROLE.get(version.tags.get("role", ""), "tab:blue")
        axes.errorbar(speedup, score, yerr=[[low], [high]], color=color, alpha=0.5, capsize=3)
        name = f"v{version.version}" if version.version else version.name
        label = f"{name}: layers {version.tags.get('kept_layers', '?')}, {size:.1f} MB"
        hover = tip(f"{label}, {score:.4f}, {speedup:.2f}x")
        axes.scatter(speedup, score, s=_LARGEST * size / largest, color=color, alpha=0.5, gid=hover)
        offset = (0, -22 if place % 2 else 16)  # neighbours' labels would overlap
        axes.annotate(label if len(shown) <= _MOST_LABELS else name, (speedup, score), xytext=offset, **_ABOVE)
    axes.margins(x=0.2)
    fit_scores(axes, shown)
    axes.set_xlabel("speed-up over the base (sentences/s)")
    axes.set_ylabel("STS test, Spearman; 95 % intervals may be cut")
    axes.set_title("Variants: area is size on disk; grey is the reference, orange are rivals")
    axes.grid(alpha=0.3)
    return figure


def similarity_map(matrix: NDArray[np.float64], selection: LayerSelection, *, title: str) -> Figure:
    """Draw the similarity of the sentence vectors at all depths; the dropped layers have red labels.

    Args:
        matrix: Similarities, 0 to 1; index 0 is the embeddings, index k the output of layer k-1. *Shape:* (depth + 1,
            depth + 1)
        selection: The kept layers.
        title: Title of the chart.
    """
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, vmin=0, vmax=1, origin="lower")
    figure.colorbar(image, ax=axes, label="linear CKA of sentence vectors")
    labels = [
        "embeddings",
        *(f"dropped {index}" if index in selection.dropped else str(index) for index in range(selection.depth)),
    ]
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        if label.get_text().startswith("dropped"):
            label.set_color("tab:red")
    axes.set_xlabel("after layer")
    axes.set_ylabel("after layer")
    axes.set_title(title)
    return figure


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


_BAR = 0.38


def speed_chart(speed: Speed, flops: Flops) -> Figure:
    """Draw sentences per second by length and batch size, and the speed-up over the base.

    The speed-up has its 95 % interval and its limit by FLOPs. Without a base there are only the bars of the model.
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
        base = axes.barh(
            [row + _BAR / 2 for row in rows], [cell.base_sentences_per_s or 0 for cell in cells], _BAR, color="tab:gray"
        )
        axes.bar_label(base, [f"{cell.base_sentences_per_s:,.0f}" for cell in cells], padding=3, fontsize=8)
        base.set_label("base")
    model = axes.barh(
        [row - _BAR / 2 for row in rows], [cell.sentences_per_s for cell in cells], _BAR, color="tab:blue"
    )
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
            axes.annotate(f"{ratio.value:.2f}x", (ratio.value, row), xytext=(0, 8), **_ABOVE)
    axes.axvline(1, color="tab:gray", label="the base")
    if (limit := flops.speedup_limit) is not None:
        axes.axvline(
            limit, color="tab:red", linestyle="--", label=f"limit by FLOPs at {flops.pieces} pieces: {limit:.2f}x"
        )
    ratios = [cell.speedup for cell in cells if cell.speedup is not None]
    low, high = view_of(
        [ratio.value for ratio in ratios], [(ratio.value - ratio.low, ratio.high - ratio.value) for ratio in ratios]
    )
    axes.set_xlim(min(0.9, low), max(high, 1.1 * (limit or 1)))
    axes.set_xlabel("speed-up: median of the pairs' ratios, 95 % interval")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2, fontsize=8)
    axes.grid(alpha=0.3, axis="x")


def label_of(cell: Cell) -> str:
    """Describe the texts of a cell for a chart or table."""
    return (
        f"{cell.bucket}{'' if cell.bucket[0].isdigit() else f' ({cell.pieces:.0f} pieces)'}, {cell.batch_size} at once"
    )
