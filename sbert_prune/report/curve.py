"""The depth curve: a table and a chart of variants of several depths and strategies, quality against size and speed."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from sbert_prune.evaluation.frontier import find_knee
from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST
from sbert_prune.report.charts import COLORS
from sbert_prune.report.tables import metric_with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from sbert_prune.registry.version import Version

_SIZE, _SPEEDUP = "size/disk_mb", "speed/speedup"
_LINE: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1, "capsize": 2, "alpha": 0.8}
CURVE = ("layers", "strategy", "kept", "size", "speed", "dev", "test", "of the reference", "model")
"""The columns of the table."""


@dataclass(frozen=True)
class Point:
    """One variant of the curve. strategies: all strategies that keep these layers."""

    num_layers: int
    strategies: tuple[str, ...]
    version: Version

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        metrics, tags = self.version.metrics, self.version.tags
        share = f"{metrics[RETENTION]:.1%}" if RETENTION in metrics else "-"
        return (
            str(self.num_layers),
            ", ".join(self.strategies),
            tags.get("kept_layers", "-"),
            f"{metrics[_SIZE]:.1f} MB",
            f"{metrics[_SPEEDUP]:.2f}x" if _SPEEDUP in metrics else "-",
            metric_with_interval(metrics, STS_DEV),
            metric_with_interval(metrics, STS_TEST),
            share,
            self.version.uri,
        )


def curve_rows(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """Return the rows of the table, the largest variant first."""
    return [point.row() for point in sorted(points, key=lambda point: -point.num_layers)]


def knee_of(points: Sequence[Point]) -> Point | None:
    """Return the knee of the curve by dev score, or None if it has none."""
    scored = [point for point in points if STS_DEV in point.version.metrics]
    place = find_knee(
        [point.version.metrics[_SIZE] for point in scored], [point.version.metrics[STS_DEV] for point in scored]
    )
    return scored[place] if place is not None else None


def depth_curve(points: Sequence[Point]) -> Figure:
    """Draw test score against size on disk and against speed-up; one line per strategy, with the knee marked."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    knee = knee_of(points)
    strategies = dict.fromkeys(strategy for point in points for strategy in point.strategies)
    for axes, metric in ((left, _SIZE), (right, _SPEEDUP)):
        for color, strategy in zip(COLORS * len(points), strategies, strict=False):
            line_points = [
                point
                for point in points
                if strategy in point.strategies and {metric, STS_TEST} <= set(point.version.metrics)
            ]
            _draw(axes, sorted(line_points, key=lambda point: point.num_layers), metric, color, strategy)
        if knee is not None and metric in knee.version.metrics:
            position = (knee.version.metrics[metric], knee.version.metrics[STS_TEST])
            axes.scatter(
                *position, s=220, facecolors="none", edgecolors="black", linewidths=1.2, zorder=3, label="knee (by dev)"
            )
        axes.grid(alpha=0.3)
        axes.margins(0.08)
    left.set_xlabel("size on disk (MB)")
    left.set_ylabel("STS test, Spearman, with 95 % interval")
    right.set_xlabel("speed-up over the base (sentences/s)")
    if points:
        left.legend(fontsize=8)
    figure.suptitle("Quality by depth; numbers are layers")
    return figure


def _draw(axes: Axes, points: Sequence[Point], metric: str, color: str, strategy: str) -> None:
    positions = [point.version.metrics[metric] for point in points]
    scores = [point.version.metrics[STS_TEST] for point in points]
    bounds = [[point.version.metrics.get(f"{STS_TEST}_{end}", nan) for point in points] for end in ("low", "high")]
    ends = np.nan_to_num(np.abs(np.array(bounds) - scores))
    axes.errorbar(positions, scores, yerr=ends, color=color, label=strategy, **_LINE)
    for point, x, y in zip(points, positions, scores, strict=True):
        axes.annotate(str(point.num_layers), (x, y), xytext=(4, 5), textcoords="offset points", fontsize=8, color=color)
