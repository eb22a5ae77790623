"""The depth curve: a table and a chart of variants of several depths and strategies, quality against size and speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from sbert_prune.evaluation.frontier import find_knee
from sbert_prune.metrics import RETENTION, SIZE, SPEEDUP, STS_DEV, STS_TEST
from sbert_prune.report.charts import COLORS, reach_of, speedup_of, view_of
from sbert_prune.report.html import add_tip
from sbert_prune.report.tables import metric_with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from sbert_prune.registry.version import Version
    from sbert_prune.report.comparison import Judged

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
            self.version.uri,
        )

    @property
    def has_score(self) -> bool:
        """Return whether it can be drawn."""
        return {SIZE, SPEEDUP, STS_TEST} <= set(self.version.metrics)

    def place(self, metric: str) -> tuple[float, float]:
        """Return where it is drawn: by its size or speed-up, and its test score."""
        metrics = self.version.metrics
        return speedup_of(self.version) if metric == SPEEDUP else metrics[metric], metrics[STS_TEST]


def curve_rows(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """Return the rows of the table, the largest variant first."""
    return [point.row() for point in sorted(points, key=lambda point: -point.num_layers)]


def rival_rows(rivals: Sequence[Judged]) -> list[tuple[str, ...]]:
    """Return the rows of models that need no pruning."""
    return [
        (
            *("-", "rival", "-", f"{rival.size:.1f} MB", f"{rival.metrics[SPEEDUP]:.2f}x"),
            *(metric_with_interval(rival.metrics, score) for score in (STS_DEV, STS_TEST)),
            *("-", rival.name),
        )
        for rival in rivals
    ]


def knee_of(points: Sequence[Point]) -> Point | None:
    """Return the knee of the curve by dev score, or None if it has none."""
    scored = [point for point in points if STS_DEV in point.version.metrics]
    place = find_knee(
        [point.version.metrics[SIZE] for point in scored], [point.version.metrics[STS_DEV] for point in scored]
    )
    return scored[place] if place is not None else None


def depth_curve(points: Sequence[Point], rivals: Sequence[Judged] = ()) -> Figure:
    """Draw test score against size on disk and against speed-up; one line per strategy, with the knee marked."""
    figure = Figure(figsize=(10, 4.2), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    knee = knee_of(points)
    strategies = _strategies(points)
    drawable = sorted((point for point in points if point.has_score), key=lambda point: point.num_layers)
    drawable_rivals = [rival for rival in rivals if {SIZE, SPEEDUP, STS_TEST} <= set(rival.metrics)]
    for axes, metric in ((left, SIZE), (right, SPEEDUP)):
        for number, (color, strategy) in enumerate(zip(COLORS * len(points), strategies, strict=False)):
            line_points = [point for point in drawable if strategy in point.strategies]
            _draw(axes, line_points, metric, color, strategy)
            labelled = [point for point in line_points if point.strategies[0] == strategy]
            _label(axes, labelled, metric, color, above=number == 0)
        for point in drawable:
            x, y = point.place(metric)
            add_tip(axes, x, y, f"layers {point.version.tags.get('kept_layers', '?')}, {point.version.uri}: {y:.4f}")
        for rival in drawable_rivals:
            position = rival.metrics[metric], rival.metrics[STS_TEST]
            axes.scatter(*position, marker="D", s=30, color="0.3", zorder=3)
            axes.annotate(rival.name, position, xytext=(0, -12), textcoords="offset points", fontsize=8, ha="center")
            add_tip(axes, *position, str(rival))
        if knee in drawable:
            axes.scatter(
                *knee.place(metric),
                s=150,
                facecolors="none",
                edgecolors="black",
                linewidths=1.2,
                zorder=3,
                label="knee (by dev)",
            )
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(0.06)
        known = [*(point.version.metrics for point in drawable), *(rival.metrics for rival in drawable_rivals)]
        if known:
            reaches = [reach_of(metrics, STS_TEST) for metrics in known]
            axes.set_ylim(view_of([metrics[STS_TEST] for metrics in known], reaches))
    left.set_xlabel("size on disk (MB)")
    left.set_ylabel("STS test, Spearman")
    right.set_xlabel("speed-up over the base (sentences/s)")
    right.xaxis.set_major_formatter("{x:g}x")
    if points:
        left.legend(fontsize=9, loc="lower right", frameon=False)
    figure.suptitle("Quality by number of layers, with 95 % intervals", fontsize=12)
    return figure


def _draw(axes: Axes, points: Sequence[Point], metric: str, color: str, strategy: str) -> None:
    """Draw the line of a strategy, and its intervals as a band."""
    metrics = [point.version.metrics for point in points]
    positions = [point.place(metric)[0] for point in points]
    low, high = ([values.get(f"{STS_TEST}_{end}", values[STS_TEST]) for values in metrics] for end in ("low", "high"))
    axes.fill_between(positions, low, high, color=color, alpha=0.12, linewidth=0)
    scores = [values[STS_TEST] for values in metrics]
    axes.plot(positions, scores, color=color, marker="o", markersize=5, linewidth=1.6, label=strategy)


def _label(axes: Axes, points: Sequence[Point], metric: str, color: str, *, above: bool) -> None:
    """Write the number of layers above or below each point."""
    for point in points:
        axes.annotate(
            str(point.num_layers),
            point.place(metric),
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
