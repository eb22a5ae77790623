"""The search space: which layers are kept, and which settings of the recipe vary; a point of it is a proposal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import ValidationError

from sbert_prune.errors import SearchError
from sbert_prune.layers import LayerSelection
from sbert_prune.recipe import WHOLE, Recipe

if TYPE_CHECKING:
    import random

Value = float | int | str


class Suggests(Protocol):
    """Who chooses the values of a point: Optuna's trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any: ...


@dataclass(frozen=True)
class Numbers:
    """A range of numbers, both ends in it. whole: whether they are whole.  log: whether their ratio counts, not their difference."""

    low: float
    high: float
    whole: bool = False
    log: bool = False

    def suggest(self, name: str, trial: Suggests) -> Value:
        """Let a trial choose."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Choices:
    """Values without an order."""

    values: tuple[str, ...]

    def suggest(self, name: str, trial: Suggests) -> Value:
        """Let a trial choose."""
        return str(trial.suggest_categorical(name, self.values))

    def __str__(self) -> str:
        return "/".join(self.values)


Axis = Numbers | Choices

_KINDS: dict[str, tuple[bool, bool]] = {
    "learning_rate": (False, True),
    "scale": (False, True),
    "distillation": (False, False),
    "layer_weight": (False, False),
    "warmup_ratio": (False, False),
    "epochs": (False, True),
    "batch_size": (True, True),
}
"""The settings that may have a range: whether they are whole numbers, and whether their ratio counts."""

_CHOICES = ("loss", "directions", "hard_negatives", "pooling", "batch_size", "vocabulary")
"""The settings that may have a list of values."""

_AROUND = 4.0
"""A setting that is named without a range varies from a quarter of the recipe's value to four times that."""

DEFAULT_AXES = "learning_rate"

LAYERS_ALONE = "layers"


@dataclass(frozen=True)
class Proposal:
    """One point of the space. settings: by their path in the recipe, such as "sts.learning_rate"."""

    selection: LayerSelection
    settings: tuple[tuple[str, Value], ...] = ()

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe of this point. Raises SearchError for values that do not go together."""
        tree = recipe.model_dump() | WHOLE | {"layers": str(self.selection) if self.selection.num_layers > 1 else _alone(self.selection)}
        tree |= {"vocabulary": recipe.vocabulary, "vocabulary_corpus": recipe.vocabulary_corpus}
        for path, value in self.settings:
            group, _, name = path.rpartition(".")
            place = tree[group] if group else tree
            place[name] = value
        try:
            return Recipe.model_validate(tree)
        except ValidationError as error:
            problem = error.errors()[0]
            where = "_".join(map(str, problem["loc"]))
            raise SearchError(
                f"space: {where}={problem['input']} cannot be tried: {problem['msg'].removeprefix('Value error, ').rstrip('.')}."
            ) from error


def _alone(selection: LayerSelection) -> str:
    """One layer as a list: a mere number would be a count."""
    return f"{selection.kept[0]}-{selection.kept[0]}"


@dataclass(frozen=True)
class Space:
    """depth: of the base.  counts: how many layers may be kept, ascending.  first_stays: whether layer 0 is always kept.

    fixed: the layers, where they are given and only settings vary.  axes: what varies besides, by its path in the recipe.
    """

    depth: int
    counts: tuple[int, ...]
    first_stays: bool = False
    fixed: LayerSelection | None = None
    axes: tuple[tuple[str, Axis], ...] = ()

    @property
    def num_selections(self) -> int:
        """Different selections of layers."""
        return 1 if self.fixed else sum(comb(self.depth - self.first_stays, count - self.first_stays) for count in self.counts)

    def selections(self) -> Iterator[LayerSelection]:
        """All of them, by count, in the order of their layers."""
        if self.fixed:
            yield self.fixed
            return
        for count in self.counts:
            for kept in combinations(range(self.first_stays, self.depth), count - self.first_stays):
                yield LayerSelection((*range(self.first_stays), *kept), self.depth)

    def draw(self, generator: random.Random) -> LayerSelection:
        """One of them at random, each count as likely."""
        if self.fixed:
            return self.fixed
        count = generator.choice(self.counts)
        kept = generator.sample(range(self.first_stays, self.depth), count - self.first_stays)
        return LayerSelection((*range(self.first_stays), *sorted(kept)), self.depth)

    def holds(self, selection: LayerSelection) -> bool:
        """Whether a selection may be proposed."""
        if self.fixed:
            return selection == self.fixed
        return selection.num_layers in self.counts and (0 in selection.kept or not self.first_stays)

    def suggest(self, trial: Suggests) -> Proposal:
        """Let a trial choose: every layer has a priority, and those with the highest are kept."""
        if self.fixed:
            selection = self.fixed
        else:
            count = self.counts[0] if len(self.counts) == 1 else trial.suggest_int("num_layers", self.counts[0], self.counts[-1])
            free = range(self.first_stays, self.depth)
            priorities = {layer: trial.suggest_float(_priority(layer), 0, 1) for layer in free}
            ranked = sorted(free, key=lambda layer: (-priorities[layer], layer))
            selection = LayerSelection((*range(self.first_stays), *sorted(ranked[: count - self.first_stays])), self.depth)
        return Proposal(selection, tuple((path, axis.suggest(_name(path), trial)) for path, axis in self.axes))

    def params(self, selection: LayerSelection, recipe: Recipe | None = None) -> dict[str, Value]:
        """What `suggest` turns into this selection, to be proposed first.

        recipe: whose settings go along; None leaves them to the sampler.
        """
        chosen: dict[str, Value] = {}
        if not self.fixed:
            if len(self.counts) > 1:
                chosen["num_layers"] = selection.num_layers
            chosen |= {_priority(layer): 0.75 if layer in selection.kept else 0.25 for layer in range(self.first_stays, self.depth)}
        if recipe is not None:
            flat = recipe.flat()
            chosen |= {_name(path): value for path, axis in self.axes if (value := _inside(axis, flat[path])) is not None}
        return chosen

    def up_to(self, num_layers: int) -> Self:
        """The same space without deeper selections. Raises SearchError where nothing is left."""
        counts = tuple(count for count in self.counts if count <= num_layers)
        if not counts:
            raise SearchError(f"layers: the limits leave room for {num_layers} layers, the space begins at {self.counts[0]}. Allow more.")
        return type(self)(self.depth, counts, self.first_stays, self.fixed, self.axes)

    def __str__(self) -> str:
        counts = f"{self.counts[0]} to {self.counts[-1]}" if len(self.counts) > 1 else str(self.counts[0])
        layers = f"layers {self.fixed}" if self.fixed else f"{counts} of {self.depth} layers ({self.num_selections:,} selections)"
        return "; ".join([layers, *(f"{_name(path)} {axis}" for path, axis in self.axes)])


def _priority(layer: int) -> str:
    return f"priority_{layer:02}"


def _name(path: str) -> str:
    return path.replace(".", "_")


def _inside(axis: Axis, text: str) -> Value | None:
    """The recipe's value, where the axis has it."""
    if isinstance(axis, Choices):
        return next((value for value in axis.values if value.lower() == text.lower()), None)
    value = float(text or "nan")
    return (int(value) if axis.whole else value) if axis.low <= value <= axis.high else None


def parse_counts(text: str, depth: int) -> tuple[int, ...]:
    """Counts of layers: "6", "2..6", or "any", which is all that drop some. Raises SearchError."""
    found = re.fullmatch(r"\s*(\d{1,4})\s*(?:\.\.\s*(\d{1,4})\s*)?", text)
    if text.strip() == "any":
        low, high = 1, max(1, depth - 1)
    elif found:
        low, high = int(found[1]), int(found[2] or found[1])
    else:
        raise SearchError(
            f"layers={text}: write how many layers to keep (6), a range (2..6), any, or which (0,2,4-7) to search settings alone."
        )
    if not 1 <= low <= high <= depth:
        raise SearchError(f"layers={text}: the encoder has {depth} layers. Write numbers from 1 to {depth}, the smaller one first.")
    return tuple(range(low, high + 1))


def parse_axes(text: str | None, recipe: Recipe) -> tuple[tuple[str, Axis], ...]:
    """What varies besides the layers: "sts_learning_rate=1e-5..1e-3,sts_loss=cosine/cosent,nli_scale". Raises SearchError.

    A name alone takes the range around the recipe's value; nothing at all the learning rates of the recipe's phases; "layers" none.
    """
    phases = [phase for phase in ("nli", "sts", "distil") if phase in recipe.phases]
    if text is None:
        return tuple((f"{phase}.{DEFAULT_AXES}", _around(f"{phase}.{DEFAULT_AXES}", recipe)) for phase in phases)
    axes: dict[str, Axis] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, values = (piece.strip() for piece in part.partition("="))
        if name == LAYERS_ALONE and not values:
            continue
        path = _path(name, phases, recipe)
        if path in axes:
            raise SearchError(f"space: {name} stands there twice.")
        axes[path] = _parse_axis(name, path, values) if values else _around(path, recipe)
        for value in _ends(axes[path]):
            Proposal(LayerSelection((0,), 1), ((path, value),)).recipe(recipe)
    return tuple(sorted(axes.items()))


def _path(name: str, phases: Sequence[str], recipe: Recipe) -> str:
    paths = [f"{phase}.{setting}" for phase in phases for setting in dict.fromkeys((*_KINDS, *_CHOICES))]
    known = {_name(path): path for path in [*paths, "vocabulary"] if path in recipe.flat()}
    if name not in known:
        raise SearchError(f"space: {name} cannot vary. What can: layers, {', '.join(known)}.")
    return known[name]


def _parse_axis(name: str, path: str, text: str) -> Axis:
    setting = path.rpartition(".")[2]
    ends = re.fullmatch(r"([^/]+)\.\.([^/]+)", text)
    if ends is None:
        if setting not in _CHOICES:
            raise SearchError(f"space: {name}={text}: write a range, such as {name}=1e-5..1e-3.")
        values = tuple(value.strip() for value in text.split("/"))
        if len(set(values)) < len(values):
            raise SearchError(f"space: {name}={text}: write each value once.")
        return Choices(values)
    if setting not in _KINDS:
        raise SearchError(f"space: {name}={text}: write values with / between them, such as sts_loss=cosine/cosent.")
    whole, log = _KINDS[setting]
    try:
        low, high = float(ends[1]), float(ends[2])
    except ValueError:
        low, high = 1.0, 0.0
    if not low <= high or (log and low <= 0):
        raise SearchError(f"space: {name}={text}: write two numbers{' above 0' if log else ''}, the smaller one first, such as 1e-5..1e-3.")
    return Numbers(low, high, whole, log)


def _around(path: str, recipe: Recipe) -> Axis:
    setting = path.rpartition(".")[2]
    value = float(recipe.flat().get(path) or 0) if setting in _KINDS else 0.0
    if setting not in _KINDS or value <= 0:
        raise SearchError(f"space: {_name(path)} wants its values: a range (1e-5..1e-3), or a list (cosine/cosent).")
    whole, log = _KINDS[setting]
    high = value * _AROUND
    return Numbers(value / _AROUND, min(high, 1.0) if setting in {"learning_rate", "warmup_ratio"} else high, whole, log)


def _ends(axis: Axis) -> tuple[Value, ...]:
    return axis.values if isinstance(axis, Choices) else (axis.low, axis.high)


def space_of(recipe: Recipe, depth: int, *, first_stays: bool, axes: str | None) -> Space:
    """The space that a recipe leaves: its `layers` says how many, or which. Raises SearchError, SelectionError."""
    varied, layers = parse_axes(axes, recipe), recipe.layers.strip()
    if layers.isdecimal() or not re.fullmatch(r"[\d\s,-]+", layers):
        counts = parse_counts(layers, depth)
        return Space(depth, counts, first_stays, None, varied)
    fixed = LayerSelection.parse(layers, depth=depth)
    return Space(depth, (fixed.num_layers,), first_stays, fixed, varied)


def as_flat(proposal: Proposal) -> Mapping[str, str]:
    """What a proposal chose, for tables."""
    return {_name(path): f"{value:.3g}" if isinstance(value, float) else str(value) for path, value in proposal.settings}
