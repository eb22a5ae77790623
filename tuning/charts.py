"""Pictures of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import optuna
from matplotlib.figure import Figure

from sbert_prune.layers import LayerSelection
from sbert_prune.report.charts import COLORS
from tuning.artifacts import BYTES_MB, Candidate, pareto_front
from tuning.study import KEPT, LOOKS, METRICS, ORIGIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from optuna import Study

    from tuning.settings import Aim
    from tuning.study import Held

_ROWS = 40
_FEWEST = 8  # trials from which anybody could tell what mattered


def front_chart(complete: Sequence[Held], aim: Aim) -> Figure:
    """Dev score against size, or against the second objective; the Pareto front as a line."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    cost = {one.number: float(one.trial.values[1]) if aim.against else round(float(one.say(METRICS)[BYTES_MB]), 2) for one in complete}
    origins = list(dict.fromkeys(str(one.say(ORIGIN)) for one in complete))
    for color, origin in zip(COLORS * len(complete), origins, strict=False):
        own = [one for one in complete if one.say(ORIGIN) == origin]
        axes.scatter([cost[one.number] for one in own], [one.score for one in own], color=color, label=origin, alpha=0.8)
    candidates = [Candidate(one.number, (one.score, -cost[one.number]), 0.0) for one in complete]
    front = sorted(pareto_front(candidates), key=lambda one: -one.values[1])
    axes.step(
        [-one.values[1] for one in front], [one.values[0] for one in front], where="post", color="black", linewidth=0.8, label="front"
    )
    layers = {one.number: str(one.say(KEPT)) for one in complete}
    for one in front:
        axes.annotate(layers[one.number], (-one.values[1], one.values[0]), xytext=(4, 5), textcoords="offset points", fontsize=8)
    axes.ticklabel_format(useOffset=False)
    axes.set_xlabel("one sentence (ms)" if aim.against == "latency_ms" else "size on disk (MB)")
    axes.set_ylabel("STS dev, Spearman")
    axes.set_title("Trials trained to their end")
    axes.margins(0.1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def layer_map(complete: Sequence[Held], depth: int) -> Figure:
    """Which layers each trial keeps, the best at the top, with its score."""
    shown = complete[:_ROWS]
    figure = Figure(figsize=(max(5.0, 0.4 * depth + 3), max(2.5, 0.22 * len(shown) + 1.2)), layout="constrained")
    axes = figure.subplots()
    matrix = np.zeros((len(shown), depth))
    for row, one in enumerate(shown):
        matrix[row, list(LayerSelection.parse(str(one.say(KEPT)), depth=depth).kept)] = 1
    axes.imshow(matrix, aspect="auto", cmap="Blues", vmin=0, vmax=1.4)
    axes.set_xticks(range(depth), [str(layer) for layer in range(depth)])
    axes.set_yticks(range(len(shown)), [f"{one.score:.4f}  trial {one.number} {one.say(ORIGIN)}" for one in shown], fontsize=7)
    axes.set_xticks(np.arange(-0.5, depth), minor=True)
    axes.set_yticks(np.arange(-0.5, len(shown)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("layer of the base (0 is next to the embeddings)")
    axes.set_title("Layers kept, best dev score first")
    return figure


def influence_chart(study: Study, complete: Sequence[Held], depth: int) -> Figure:
    """What goes with a better dev score: each layer's presence, and what Optuna says of the settings (fANOVA)."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    differences = layer_differences(complete, depth)
    left.bar(list(differences), list(differences.values()), color=COLORS[0])
    left.axhline(0, color="black", linewidth=0.8)
    left.set_xticks(range(depth))
    left.set_xlabel("layer")
    left.set_ylabel("mean dev score with it, less that without it")
    left.set_title("Layers")
    _draw_importances(right, importances(study) if len(complete) >= _FEWEST else {})
    return figure


def layer_differences(complete: Sequence[Held], depth: int) -> dict[int, float]:
    """Mean dev score of the trials that keep a layer, less that of those that drop it; layers that all or none keep are left out."""
    kept = {one.number: LayerSelection.parse(str(one.say(KEPT)), depth=depth).kept for one in complete}
    found = {}
    for layer in range(depth):
        with_it = [one.score for one in complete if layer in kept[one.number]]
        without = [one.score for one in complete if layer not in kept[one.number]]
        if with_it and without:
            found[layer] = float(np.mean(with_it) - np.mean(without))
    return found


def importances(study: Study) -> dict[str, float]:
    """The importance of each parameter for the dev score, 0 to 1, the priorities of layers summed up; nothing where they cannot be told."""
    try:
        # Optuna 5's default, PED-ANOVA, asks what makes a target low.
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found: Mapping[str, float] = optuna.importance.get_param_importances(
            study, evaluator=evaluator, target=lambda trial: trial.values[0]
        )
    except (RuntimeError, ValueError, ZeroDivisionError):
        return {}
    layers = sum(value for name, value in found.items() if name.startswith("priority_"))
    rest = {name: value for name, value in found.items() if not name.startswith("priority_")}
    return ({"layers": layers} if layers else {}) | rest


def _draw_importances(axes: Axes, found: Mapping[str, float]) -> None:
    names = sorted(found, key=lambda name: found[name])
    axes.barh(names, [found[name] for name in names], color=COLORS[1])
    axes.set_xlim(0, 1)
    axes.set_title("Importance for the dev score (fANOVA)")
    if not names:
        axes.text(0.5, 0.5, f"told from {_FEWEST} trials on", ha="center", va="center", transform=axes.transAxes)
        axes.set_yticks([])


def history_chart(trials: Sequence[Held]) -> Figure:
    """Score trial by trial, the best so far as a line; stopped trials at their last look."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    done = [one for one in trials if one.is_complete]
    axes.scatter([one.number for one in done], [one.score for one in done], color=COLORS[0], s=18, label="trained to the end")
    stopped = [one for one in trials if one.state.name == "PRUNED" and one.say(LOOKS)]
    axes.scatter(
        [one.number for one in stopped], [one.say(LOOKS)[-1][0] for one in stopped], color=COLORS[1], marker="x", s=18, label="stopped"
    )
    if done:
        axes.step(
            [one.number for one in done], np.maximum.accumulate([one.score for one in done]), where="post", color="black", linewidth=0.8
        )
    axes.set_xlabel("trial")
    axes.set_ylabel("STS dev, Spearman")
    axes.set_title("The search, trial by trial; the line is the best so far")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
