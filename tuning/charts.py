"""Charts of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import optuna
from matplotlib.figure import Figure
from scipy.stats import ttest_ind

from sbert_prune.layers import LayerSelection
from sbert_prune.report.charts import COLORS, view_of
from sbert_prune.report.html import add_tip
from tuning.artifacts import BYTES_MB, Candidate, pareto_front
from tuning.study import KEPT_LAYERS, METRICS, ORIGIN, RUNG_SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from optuna import Study

    from tuning.settings import Aim
    from tuning.study import StoredTrial

_MAX_ROWS = 40
_MIN_TRIALS = 8  # with fewer trials, importances mean nothing
_MANY_TRIALS = 30
_CHANCE, _NOISE = 0.05, "0.75"


def front_chart(complete: Sequence[StoredTrial], aim: Aim) -> Figure | None:
    """Draw dev score against size, or the second objective, with the Pareto front as a line; None for a single point.

    Where all trials cost the same, the best one is the whole front.
    """
    cost = {
        trial.number: float(trial.trial.values[1])
        if aim.against
        else round(float(trial.attribute(METRICS)[BYTES_MB]), 2)
        for trial in complete
    }
    candidates = [Candidate(trial.number, (trial.score, -cost[trial.number]), 0.0) for trial in complete]
    front = sorted(pareto_front(candidates), key=lambda candidate: -candidate.values[1])
    if len({candidate.values for candidate in front}) < 2:
        return None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    origins = list(dict.fromkeys(str(trial.attribute(ORIGIN)) for trial in complete))
    for color, origin in zip(COLORS * len(complete), origins, strict=False):
        trials = [trial for trial in complete if trial.attribute(ORIGIN) == origin]
        costs, scores = [cost[trial.number] for trial in trials], [trial.score for trial in trials]
        axes.scatter(costs, scores, color=color, label=origin, alpha=0.8)
    costs, scores = [-candidate.values[1] for candidate in front], [candidate.values[0] for candidate in front]
    axes.step(costs, scores, where="post", color="black", linewidth=0.8, label="front")
    layers = {trial.number: str(trial.attribute(KEPT_LAYERS)) for trial in complete}
    for candidate, point in zip(front, zip(costs, scores, strict=True), strict=True):
        axes.annotate(layers[candidate.number], point, xytext=(4, 5), textcoords="offset points", fontsize=8)
    for trial in complete:
        add_tip(axes, cost[trial.number], trial.score, described(trial))
    axes.ticklabel_format(useOffset=False)
    axes.set_xlabel("one sentence (ms)" if aim.against == "latency_ms" else "size on disk (MB)")
    axes.set_ylabel("STS dev, Spearman")
    axes.set_title("Trials trained to their end")
    axes.margins(0.1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def described(trial: StoredTrial) -> str:
    """Return what a trial is, for a tip."""
    return f"trial {trial.number} ({trial.attribute(ORIGIN)}), layers {trial.attribute(KEPT_LAYERS)}: {trial.score:.4f}"


def layer_map(complete: Sequence[StoredTrial], depth: int) -> Figure:
    """Draw which layers each trial keeps, with its score; the best trial is at the top."""
    shown = complete[:_MAX_ROWS]
    size = (max(5.0, 0.4 * depth + 3), max(2.5, 0.22 * len(shown) + 1.2))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    matrix = np.zeros((len(shown), depth))
    for row, trial in enumerate(shown):
        matrix[row, list(_kept(trial, depth))] = 1
    labels = [f"{trial.score:.4f}  trial {trial.number} {trial.attribute(ORIGIN)}" for trial in shown]
    axes.imshow(matrix, aspect="auto", cmap="Blues", vmin=0, vmax=1.4)
    axes.set_xticks(range(depth), [str(layer) for layer in range(depth)])
    axes.set_yticks(range(len(shown)), labels, fontsize=7)
    axes.set_xticks(np.arange(-0.5, depth), minor=True)
    axes.set_yticks(np.arange(-0.5, len(shown)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("layer of the base (0 is next to the embeddings)")
    axes.set_title("Layers kept, best dev score first")
    return figure


def _kept(trial: StoredTrial, depth: int) -> tuple[int, ...]:
    return LayerSelection.parse(str(trial.attribute(KEPT_LAYERS)), depth=depth).kept


def influence_chart(study: Study, complete: Sequence[StoredTrial], depth: int) -> Figure:
    """Draw what goes with a better dev score: each layer's presence, and the importance of the settings (fANOVA).

    Grey is what chance alone may give.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    influences = layer_influences(complete, depth)
    for layer, influence in influences.items():
        left.bar(layer, influence.difference, color=_NOISE if influence.is_noise else COLORS[0])
        add_tip(left, layer, influence.difference, f"layer {layer}: {influence.difference:+.4f}")
    left.axhline(0, color="black", linewidth=0.8)
    counts = {layer: f"\n{influence.num_with}" for layer, influence in influences.items()}
    left.set_xticks(range(depth), [f"{layer}{counts.get(layer, '')}" for layer in range(depth)])
    left.set_xlabel(f"layer; below it, how many of the {len(complete)} trials keep it")
    left.set_ylabel("mean dev score with it, less that without it")
    left.set_title("Layers; grey may be chance")
    _draw_importances(right, importances(study) if len(complete) >= _MIN_TRIALS else {}, len(complete))
    return figure


class Influence(NamedTuple):
    """Mean dev score of trials that keep a layer, less that of the others; how many keep it; if it may be chance."""

    difference: float
    num_with: int
    is_noise: bool


def layer_influences(complete: Sequence[StoredTrial], depth: int) -> dict[int, Influence]:
    """Return the influence of each layer but those that all or none keep.

    What may be chance is decided by Welch's t at 5 %, shared among the layers (Bonferroni): one of twelve would be
    taken for real by chance otherwise.
    """
    kept = {trial.number: _kept(trial, depth) for trial in complete}
    influences = {}
    for layer in range(depth):
        scores = [
            [trial.score for trial in complete if (layer in kept[trial.number]) == keeps] for keeps in (True, False)
        ]
        if not all(scores):
            continue
        varied = min(map(len, scores)) > 1 and max(map(np.ptp, scores)) > 0
        chance = float(ttest_ind(*scores, equal_var=False).pvalue) * depth if varied else 1.0
        difference = float(np.mean(scores[0]) - np.mean(scores[1]))
        influences[layer] = Influence(difference, len(scores[0]), chance > _CHANCE)
    return influences


def importances(study: Study) -> dict[str, float]:
    """Return the importance of each parameter for the dev score, 0 to 1; empty where it cannot be computed.

    The priorities of layers are added up.
    """
    try:
        # Optuna 5's default, PED-ANOVA, asks what makes a target low.
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        by_param: Mapping[str, float] = optuna.importance.get_param_importances(
            study, evaluator=evaluator, target=lambda trial: trial.values[0]
        )
    except (RuntimeError, ValueError, ZeroDivisionError):
        return {}
    layers = sum(value for name, value in by_param.items() if name.startswith("priority_"))
    settings = {name: value for name, value in by_param.items() if not name.startswith("priority_")}
    return ({"layers": layers} if layers else {}) | settings


def _draw_importances(axes: Axes, values: Mapping[str, float], num_trials: int) -> None:
    names = sorted(values, key=lambda name: values[name])
    axes.barh(names, [values[name] for name in names], color=COLORS[1] if num_trials >= _MANY_TRIALS else _NOISE)
    axes.set_xlim(0, 1)
    axes.set_title(
        f"Importance for the dev score (fANOVA, {num_trials} trials; grey below {_MANY_TRIALS})", fontsize=10
    )
    if not names:
        text = f"computed from {_MIN_TRIALS} trials on"
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
        axes.set_yticks([])


def history_chart(trials: Sequence[StoredTrial]) -> Figure:
    """Draw the score of each trial, with the best so far as a line; stopped trials have their last score."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    complete = [trial for trial in trials if trial.is_complete]
    numbers, scores = [trial.number for trial in complete], [trial.score for trial in complete]
    axes.scatter(numbers, scores, color=COLORS[0], s=18, label="trained to the end")
    stopped = [trial for trial in trials if trial.state.name == "PRUNED" and trial.attribute(RUNG_SCORES)]
    last_scores = [trial.attribute(RUNG_SCORES)[-1][0] for trial in stopped]
    axes.scatter([trial.number for trial in stopped], last_scores, color=COLORS[1], marker="x", s=18, label="stopped")
    if complete:
        axes.step(numbers, np.maximum.accumulate(scores), where="post", color="black", linewidth=0.8)
    for trial in complete:
        add_tip(axes, trial.number, trial.score, described(trial))
    if complete and last_scores:
        axes.set_ylim(view_of(scores, [(max(0, min(scores) - min(last_scores)), 0.0)] * len(scores)))
    axes.set_xlabel("trial")
    axes.set_ylabel("STS dev, Spearman")
    axes.set_title("The search, trial by trial; the line is the best so far")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
