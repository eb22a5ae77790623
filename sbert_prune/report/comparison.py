"""Comparison of several models on the same pairs: tables, a chart of the differences to the first, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from sbert_prune.evaluation.bootstrap import LEVEL, MARGIN, MIN_ROWS, verdict
from sbert_prune.evaluation.comparison import gain
from sbert_prune.evaluation.robustness import BY_SPREAD
from sbert_prune.metrics import SIZE, STS_DEV, STS_TEST
from sbert_prune.report.charts import COLORS, view_of
from sbert_prune.report.tables import plain, signed, table, with_interval, with_risk

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


@dataclass(frozen=True, eq=False)
class Judged:
    """A model with its Spearman on the tested pairs, with resamples, and its metrics. name: as given by the user."""

    name: str
    score: Score
    metrics: Mapping[str, float]

    @property
    def size(self) -> float:
        """Return its megabytes on disk."""
        return self.metrics[SIZE]

    def __str__(self) -> str:
        return f"{self.name} ({self.score.value:.4f}, {self.size:.1f} MB)"


def is_as_good(score: Score, other: Score) -> bool:
    """Return whether a score is at most a point below another one, at 95 %."""
    return score.num_rows >= MIN_ROWS and score.minus(other).probability_below(-MARGIN) <= 1 - LEVEL


def worth_pruning(variant: Judged, rivals: Sequence[Judged]) -> str:
    """Return whether a variant is worth having beside models that need no pruning."""
    gains = {rival: rival.score.minus(variant.score) for rival in rivals}
    texts = {rival: f"{rival}: {verdict(gain)}, {with_risk(gain)}" for rival, gain in gains.items()}
    no_larger = sorted((rival for rival in rivals if rival.size <= variant.size), key=lambda rival: rival.size)
    as_good = [texts[rival] for rival in no_larger if is_as_good(rival.score, variant.score)]
    if as_good:
        return f"Pruning is not worth it: a rival is no larger than {variant}, and as good. {as_good[0]}."
    if open_ones := [texts[rival] for rival in no_larger if verdict(gains[rival]) == "not told apart"]:
        return f"Too close to tell whether pruning is worth it, beside {variant}. {'; '.join(open_ones)}."
    return f"Pruning is worth it: no rival is as small as {variant} and as good. {'; '.join(texts.values())}."


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


def _lead(models: Sequence[Compared]) -> str:
    """Return which model is best, how certain that is, and the smallest that is as good."""
    name = next((name for name in (STS_TEST, STS_DEV) if name in models[0].measured.scores), None)
    name = name or next(iter(models[0].measured.scores))
    judged = [Judged(model.label, model.measured.scores[name], model.metrics) for model in models]
    best = max(judged, key=lambda model: model.score.value)
    compared = [
        f"{model.name} is {verdict(difference)} ({with_risk(difference)})"
        for model in judged
        if model is not best and (difference := model.score.minus(best.score))
    ]
    smallest = min(
        (model for model in judged if model is best or is_as_good(model.score, best.score)),
        key=lambda model: model.metrics[SIZE],
    )
    take = "it is also the smallest that is as good" if smallest is best else f"the smallest as good is {smallest}"
    return f"Best by {name}: {best}; {take}. Against {best.name}: {'; '.join(compared)}."


def comparison_page(models: Sequence[Compared], picture: str) -> str:
    """Return the comparison in Markdown. picture: file name of the chart."""
    labels = [model.label for model in models]
    first = labels[0]
    parts = [
        f"# {' and '.join(labels)} compared",
        _lead(models),
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
    gains = [gain(name, score) for name, by_label in score_differences for score in by_label.values()]
    if gains:
        low, high = view_of(
            [score.value for score in gains], [(score.value - score.low, score.high - score.value) for score in gains]
        )
        axes.set_xlim(min(low, -2 * MARGIN), max(high, 2 * MARGIN))
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
