"""Comparison of several models on the same pairs: tables, a chart of the differences to the first, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure

from sbert_prune.evaluation.bootstrap import LEVEL, MARGIN, MIN_ROWS, verdict
from sbert_prune.evaluation.comparison import gain
from sbert_prune.evaluation.robustness import BY_SPREAD
from sbert_prune.metrics import SIZE, STS_TEST
from sbert_prune.report.charts import COLORS, view_of
from sbert_prune.report.tables import plain, signed, table, with_interval, with_risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sbert_prune.evaluation.bootstrap import Score
    from sbert_prune.evaluation.measures import Measured
    from sbert_prune.registry.version import Version

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


class Judged(NamedTuple):
    """A version, or a rival, with its Spearman on the tested pairs."""

    version: Version
    score: Score

    def __str__(self) -> str:
        return f"{self.version.title} ({self.score.value:.4f}, {self.version.metrics[SIZE]:.1f} MB)"


def is_as_good(difference: Score) -> bool:
    """Return whether a model is at most a point worse than another one, at 95 %."""
    return difference.num_rows >= MIN_ROWS and difference.probability_below(-MARGIN) <= 1 - LEVEL


def worth_pruning(variant: Judged, rivals: Sequence[Judged]) -> str:
    """Return whether a variant is worth having beside models that need no pruning."""
    gains = {str(rival): rival.score.minus(variant.score) for rival in rivals}
    largest = variant.version.metrics[SIZE]
    no_larger = [str(rival) for rival in rivals if rival.version.metrics[SIZE] <= largest]
    as_good = [name for name in no_larger if is_as_good(gains[name])]
    unclear = [name for name in no_larger if verdict(gains[name]) == "not told apart"]
    if as_good:
        answer = f"Pruning is not worth it: a rival is no larger than {variant} and as good"
    elif unclear:
        answer = f"Too close to tell whether pruning is worth it, beside {variant}"
    else:
        answer = f"Pruning is worth it: no rival is as small as {variant} and as good"
    shown = as_good or unclear or gains
    return f"{answer}. {'; '.join(f'{name}: {verdict(gains[name])}, {with_risk(gains[name])}' for name in shown)}."


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
    """Return which model is best, the smallest that is as good, and how certain that is."""
    scores = models[0].measured.scores
    metric = STS_TEST if STS_TEST in scores else next(iter(scores))
    best = max(models, key=lambda model: model.measured.scores[metric].value)
    gains = {model.label: model.measured.scores[metric].minus(best.measured.scores[metric]) for model in models}
    as_good = [model for model in models if model is best or is_as_good(gains[model.label])]
    take = min(as_good, key=lambda model: model.metrics[SIZE])
    listed = [f"{name} is {verdict(gain)}, {with_risk(gain)}" for name, gain in gains.items() if name != best.label]
    named = f"Best by {metric}: {best.label}, {best.uri}. The smallest that is as good: {take.label}, {take.uri}."
    return f"{named} Less {best.label}: {'; '.join(listed)}."


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
