"""Comparison of several models: a table, and a chart of the paired differences to the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from sbert_prune.evaluation.bootstrap import MARGIN, verdict
from sbert_prune.evaluation.comparison import gain
from sbert_prune.evaluation.robustness import BY_SPREAD
from sbert_prune.report.charts import COLORS
from sbert_prune.report.tables import plain, signed, table, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sbert_prune.evaluation.bootstrap import Score
    from sbert_prune.evaluation.measures import Measured

_MOST_ROWS = 40


@dataclass(frozen=True)
class Compared:
    """One model of a comparison.

    Attributes:
        label: A letter.
        uri: Name or URI, as given by the user.
        measured: Results of the model.
        metrics: Metrics of size and speed.
    """

    label: str
    uri: str
    measured: Measured
    metrics: Mapping[str, float]


def differences(models: Sequence[Compared]) -> dict[str, dict[str, Score]]:
    """Return the paired difference of each other model to the first, by metric and label."""
    first, *others = models
    first_scores = first.measured.scores
    return {
        name: {
            model.label: model.measured.scores[name].minus(score) for model in others if name in model.measured.scores
        }
        for name, score in first_scores.items()
        if name not in BY_SPREAD
    }


def comparison_rows(models: Sequence[Compared]) -> list[tuple[str, ...]]:
    """Return the rows of the table: one row per metric, one column per model."""
    names = dict.fromkeys(name for model in models for name in model.measured.scores)
    scores = [
        (
            name,
            *(with_interval(model.measured.scores[name]) if name in model.measured.scores else "-" for model in models),
        )
        for name in names
    ]
    sizes = dict.fromkeys(name for model in models for name in model.metrics)
    return [*scores, *((name, *(_number(model.metrics.get(name)) for model in models)) for name in sizes)]


def difference_rows(models: Sequence[Compared]) -> list[tuple[str, ...]]:
    """Return the rows of paired differences: one row per metric and model."""
    return [
        (name, label, signed(score), f"{gain(name, score).probability_below(-MARGIN):.3f}", verdict(gain(name, score)))
        for name, by_label in differences(models).items()
        for label, score in by_label.items()
    ]


def comparison_page(models: Sequence[Compared], picture: str) -> str:
    """Return the comparison in Markdown. picture: file name of the chart."""
    labels = [model.label for model in models]
    first = labels[0]
    parts = [
        f"# {' and '.join(labels)} compared",
        "\n".join(f"- {model.label}: {model.uri}" for model in models),
        "## Scores\n\n" + table(("metric", *labels), comparison_rows(models)),
        f"## Differences to {first}\n\n"
        + table(("metric", "model", f"less {first}", "P(worse)", "it is"), difference_rows(models)),
        "On the same rows, with the 95 % interval of a paired bootstrap; P(worse) is the probability of being worse by "
        f"more than {MARGIN:g}. Of a drop, less is better where the meaning stays.",
        f"![differences]({picture})",
    ]
    return "\n\n".join(parts) + "\n"


def comparison_chart(models: Sequence[Compared]) -> Figure:
    """Draw the gain of each model over the first in every score, with 95 % intervals and a shaded margin of a point."""
    score_differences = list(differences(models).items())[:_MOST_ROWS]
    figure = Figure(
        figsize=(10, 1.6 + 0.32 * len(score_differences) * max(1, (len(models) - 1) / 2)), layout="constrained"
    )
    axes = figure.subplots()
    for number, model in enumerate(models[1:]):
        _bars(axes, score_differences, model, number, len(models) - 1)
    axes.axvspan(-MARGIN, MARGIN, color="0.92", zorder=0)
    axes.axvline(0, color="0.4", linewidth=1)
    axes.set_yticks(range(len(score_differences)), [name for name, _ in score_differences])
    axes.invert_yaxis()
    axes.set_xlabel(
        f"gain over {models[0].label}, 95 % interval of a paired bootstrap: right is better; grey is within a point"
    )
    axes.set_title(f"{models[0].label}: {models[0].uri}", fontsize=9)
    axes.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _bars(
    axes: Axes,
    score_differences: Sequence[tuple[str, Mapping[str, Score]]],
    model: Compared,
    number: int,
    num_models: int,
) -> None:
    shift = (number - (num_models - 1) / 2) * 0.8 / num_models
    rows = [
        (row + shift, gain(name, by_label[model.label]))
        for row, (name, by_label) in enumerate(score_differences)
        if model.label in by_label
    ]
    values = [score.value for _, score in rows]
    ends = [[score.value - score.low for _, score in rows], [score.high - score.value for _, score in rows]]
    color = COLORS[number % len(COLORS)]
    label = f"{model.label}: {model.uri}"
    axes.errorbar(
        values, [row for row, _ in rows], xerr=ends, label=label, fmt="o", markersize=4, capsize=2, color=color
    )


def _number(value: float | None) -> str:
    return "-" if value is None else plain(value)
