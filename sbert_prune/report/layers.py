"""Chart and table of the layer analysis, with layers numbered as in the base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from sbert_prune.layer_analysis.anatomy import Anatomy, AtDepth
    from sbert_prune.layers import LayerSelection

HEADING = (
    "after layer",
    "cosine to final",
    "CKA to final",
    "STS, early exit (95 %)",
    "Block Influence",
    "attention entropy",
    "anisotropy",
    "effective rank",
)

# Blue and orange of Okabe & Ito's palette
_VARIANT: dict[str, Any] = {"color": "#0072B2", "marker": "s", "markersize": 6, "linewidth": 1.8, "zorder": 3}
_BASE: dict[str, Any] = {"color": "#E69F00", "marker": "o", "markersize": 5, "linewidth": 1.4}
_DROPPED: dict[str, Any] = {"facecolor": "0.94", "hatch": "///", "edgecolor": "0.86", "linewidth": 0}
_MOST_LABELS = 14  # of the axis of a panel


@dataclass(frozen=True)
class _Drawn:
    """One model of the chart.

    Attributes:
        anatomy: Analysis of the model.
        places: Position of each depth in the base; 0 is the embeddings.
        style: Style of the lines.
        side: 1 or -1, the direction of a small shift, so that the models do not hide each other.
    """

    anatomy: Anatomy
    places: Sequence[int]
    style: dict[str, Any]
    side: int

    def by_depth(self, value: Callable[[AtDepth], float]) -> tuple[Sequence[int], list[float]]:
        return self.places, [value(at_depth) for at_depth in self.anatomy.depths]


def layers_chart(variant: Anatomy, base: Anatomy | None, selection: LayerSelection, split: str = "dev") -> Figure:
    """Draw six panels over the layers of the base; dropped layers are hatched.

    Args:
        variant: Analysis of the variant, drawn at the positions that its layers have in the base.
        base: Analysis of the base, if any.
        selection: The layers of the base that the variant keeps.
        split: Split of the pairs, for the title.

    Raises:
        ValueError: The analyses have a different number of layers.
    """
    _check_depths(variant, base, selection)
    models = [] if base is None else [_Drawn(base, range(selection.depth + 1), _BASE, -1)]
    models.append(_Drawn(variant, [0, *(index + 1 for index in selection.kept)], _VARIANT, 1))
    figure = Figure(figsize=(14, 7.5), layout="constrained")
    for axes, panel in zip(figure.subplots(2, 3, sharex=True).flat, _PANELS, strict=True):
        for index in selection.dropped:
            axes.axvspan(index + 0.5, index + 1.5, **_DROPPED)
        for model in models:
            panel.draw(axes, model)
        axes.set(title=panel.title, ylabel=panel.unit)
        axes.update_datalim([(0, height) for height in panel.in_view])
        axes.autoscale_view()
        axes.grid(alpha=0.3)
    for axes in figure.axes[3:]:
        _name_layers(axes, selection.depth)
    _add_legends(figure, base, selection)
    figure.suptitle(f"What each layer does, on {variant.num_pairs:,} pairs of {split}", fontsize="x-large")
    return figure


def layer_rows(anatomy: Anatomy, layers: Sequence[int]) -> list[tuple[str, ...]]:
    """Return one row of text per depth, the embeddings first; the columns are HEADING.

    layers: the layers of the model, numbered as in the base.
    """
    entropies = [f"{entropy:.2f}" for entropy in anatomy.attention or ()]
    attention = ("", *(entropies or ["not shown"] * anatomy.depth))
    influence = ("", *(f"{change:.3f}" for change in anatomy.influence))
    names = ("embeddings", *map(str, layers))
    return [
        (
            name,
            f"{at_depth.cosine:.3f}",
            f"{at_depth.cka:.3f}",
            _exit_text(at_depth),
            change,
            entropy,
            f"{at_depth.geometry.anisotropy:.3f}",
            f"{at_depth.geometry.effective_rank:.1f}",
        )
        for name, at_depth, change, entropy in zip(names, anatomy.depths, influence, attention, strict=True)
    ]


def _exit_text(at_depth: AtDepth) -> str:
    score = at_depth.exit
    return "none" if score is None else f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def _check_depths(variant: Anatomy, base: Anatomy | None, selection: LayerSelection) -> None:
    if variant.depth != selection.num_layers or (base is not None and base.depth != selection.depth):
        depths = f"{variant.depth} layers" if base is None else f"{variant.depth} of {base.depth} layers"
        raise ValueError(f"layers {selection} of {selection.depth} do not match the analysis, which has {depths}")


def _similarity(axes: Axes, model: _Drawn) -> None:
    axes.plot(*model.by_depth(lambda at: at.cosine), **model.style)
    axes.plot(*model.by_depth(lambda at: at.cka), **model.style, linestyle=":", markerfacecolor="white")


def _exits(axes: Axes, model: _Drawn) -> None:
    scored = [
        (place, at.exit) for place, at in zip(model.places, model.anatomy.depths, strict=True) if at.exit is not None
    ]
    values = [score.value for _, score in scored]
    reach = [[score.value - score.low for _, score in scored], [score.high - score.value for _, score in scored]]
    axes.errorbar(
        [place + 0.12 * model.side for place, _ in scored], values, yerr=reach, capsize=3, elinewidth=1, **model.style
    )


def _influence(axes: Axes, model: _Drawn) -> None:
    axes.plot(model.places[1:], model.anatomy.influence, **model.style)


def _attention(axes: Axes, model: _Drawn) -> None:
    if model.anatomy.attention is not None:
        axes.plot(model.places[1:], model.anatomy.attention, **model.style)
        return
    text_style = {"color": model.style["color"], "ha": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5 + 0.05 * model.side, "not returned by this encoder", **text_style)


def _anisotropy(axes: Axes, model: _Drawn) -> None:
    axes.plot(*model.by_depth(lambda at: at.geometry.anisotropy), **model.style)


def _effective_rank(axes: Axes, model: _Drawn) -> None:
    axes.plot(*model.by_depth(lambda at: at.geometry.effective_rank), **model.style)


@dataclass(frozen=True)
class _Panel:
    """One panel of the chart. in_view: values that the vertical axis must include, so as not to mislead."""

    draw: Callable[[Axes, _Drawn], None]
    title: str
    unit: str
    in_view: tuple[float, ...] = ()


_PANELS = (
    _Panel(_similarity, "Similarity to the final embedding", "mean cosine, linear CKA: 1 is the same", (1,)),
    _Panel(_exits, "Score of an early exit", "STS, Spearman, with 95 % interval"),
    _Panel(_influence, "Block Influence: what the layer changes", "1 - cos(input, output), mean over tokens", (0,)),
    _Panel(_attention, "Attention entropy", "0: to one token, 1: to all equally", (0, 1)),
    _Panel(_anisotropy, "Anisotropy: 0 is spread out, 1 is collapsed", "mean cosine of two different sentences"),
    _Panel(_effective_rank, "Effective rank of the embeddings", "number of directions", (0,)),
)


def _name_layers(axes: Axes, depth: int) -> None:
    step = -(-(depth + 1) // _MOST_LABELS)
    shown = range(1, depth + 1, step)
    axes.set_xticks([0, *shown], ["emb.", *(str(place - 1) for place in shown)])
    axes.set_xlim(-0.5, depth + 0.5)
    axes.set_xlabel("after layer (of the base)")


def _add_legends(figure: Figure, base: Anatomy | None, selection: LayerSelection) -> None:
    shapes = [
        Line2D([], [], color="0.3", label="mean cosine"),
        Line2D([], [], color="0.3", linestyle=":", label="linear CKA"),
    ]
    figure.axes[0].legend(handles=shapes, loc="best")
    handles: list[Artist] = [Line2D([], [], label=f"variant, layers {selection}", **_VARIANT)]
    if base is not None:
        handles.append(Line2D([], [], label=f"base, {selection.depth} layers", **_BASE))
    if selection.dropped:
        handles.append(Patch(label="dropped layer", **_DROPPED))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
