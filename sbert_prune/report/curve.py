"""The depth curve: a table and a chart of variants of several depths and strategies, quality against size and speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from sbert_prune.evaluation.frontier import find_knee
from sbert_prune.metrics import RETENTION, SIZE, SPEEDUP, STS_DEV, STS_TEST
from sbert_prune.report.charts import COLORS, fit_scores, speedup_of
from sbert_prune.report.html import add_tip
from sbert_prune.report.tables import metric_with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from sbert_prune.registry.version import Version

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
            f"{metrics[SIZE]:.1f} MB",
            f"{speedup_of(self.version):.2f}x" if SPEEDUP in metrics else "-",
            metric_with_interval(metrics, STS_DEV),
            metric_with_interval(metrics, STS_TEST),
            share,
            self.version.title,
        )


def point_of(version: Version) -> Point:
    """Return a version, or a rival, as a point of its own."""
    kind = f"rival {version.name}" if version.is_rival else version.tags.get("strategy", "-")
    return Point(int(version.tags["num_layers"]), (kind,), version)


def curve_rows(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """Return the rows of the table, the largest variant first."""
    return [point.row() for point in sorted(points, key=lambda point: -point.num_layers)]


def knee_of(points: Sequence[Point]) -> Point | None:
    """Return the knee of the curve by dev score, or None if it has none."""
    scored = [point for point in points if STS_DEV in point.version.metrics and not point.version.is_rival]
    place = find_knee(
        [point.version.metrics[SIZE] for point in scored], [point.version.metrics[STS_DEV] for point in scored]
    )
    return scored[place] if place is not None else None


def depth_curve(points: Sequence[Point]) -> Figure:
    """Draw test score against size on disk and against speed-up; one line per strategy, with the knee marked."""
    figure = Figure(figsize=(10, 4.2), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    knee = knee_of(points)
    strategies = _strategies(points)
    drawable = sorted(
        (point for point in points if {SIZE, SPEEDUP, STS_TEST} <= set(point.version.metrics)),
        key=lambda point: point.num_layers,
    )
    for axes, metric in ((left, SIZE), (right, SPEEDUP)):
        for number, (color, strategy) in enumerate(zip(COLORS * len(points), strategies, strict=False)):
            line_points = [point for point in drawable if strategy in point.strategies]
            _draw(axes, line_points, metric, color, strategy)
            labelled = [point for point in line_points if point.strategies[0] == strategy]
            _label(axes, labelled, metric, color, above=number == 0)
        for point in drawable:
            label = f"{point.version.title}, layers {point.version.tags.get('kept_layers', '?')}"
            add_tip(axes, *_place(point, metric), f"{label}: {point.version.metrics[STS_TEST]:.4f}")
        if knee in drawable:
            axes.scatter(
                *_place(knee, metric), s=150, facecolors="none", edgecolors="black", zorder=3, label="knee (by dev)"
            )
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(0.06)
        fit_scores(axes, [point.version for point in drawable])
    left.set_xlabel("size on disk (MB)")
    left.set_ylabel("STS test, Spearman")
    right.set_xlabel("speed-up over the base (sentences/s)")
    right.xaxis.set_major_formatter("{x:g}x")
    if points:
        left.legend(fontsize=9, loc="lower right", frameon=False)
    figure.suptitle("Quality by number of layers; 95 % intervals may be cut", fontsize=12)
    return figure


def _place(point: Point, metric: str) -> tuple[float, float]:
    """Return where a point is drawn: by its size or speed-up, and its test score."""
    metrics = point.version.metrics
    return speedup_of(point.version) if metric == SPEEDUP else metrics[metric], metrics[STS_TEST]


def _draw(axes: Axes, points: Sequence[Point], metric: str, color: str, strategy: str) -> None:
    """Draw the line of a strategy, and its intervals as a band."""
    metrics = [point.version.metrics for point in points]
    positions = [_place(point, metric)[0] for point in points]
    low, high = ([values.get(f"{STS_TEST}_{end}", values[STS_TEST]) for values in metrics] for end in ("low", "high"))
    axes.fill_between(positions, low, high, color=color, alpha=0.12, linewidth=0)
    scores = [values[STS_TEST] for values in metrics]
    axes.plot(positions, scores, color=color, marker="o", markersize=5, linewidth=1.6, label=strategy)


def _label(axes: Axes, points: Sequence[Point], metric: str, color: str, *, above: bool) -> None:
    """Write the number of layers above or below each point."""
    for point in points:
        axes.annotate(
            str(point.num_layers),
            _place(point, metric),
            xytext=(0, 8 if above else -8),
            textcoords="offset points",
            fontsize=9,
            color=color,
            ha="center",
            va="bottom" if above else "top",
        )


def _strategies(points: Sequence[Point]) -> list[str]:
    """Return the distinct strategies, in order of appearance."""
    return list(dict.fromkeys(strategy for point in points for strategy in point.strategies))
