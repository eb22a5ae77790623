"""The search space: which layers may be kept, and which settings of the recipe vary."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any, Self

from sbert_prune.errors import SearchError
from sbert_prune.layers import LayerSelection
from sbert_prune.recipe.recipe import WHOLE, parameter_name
from tuning.axes import parse_axes, value_on, with_settings

if TYPE_CHECKING:
    import random

    from sbert_prune.recipe.recipe import Recipe
    from tuning.axes import Axis, Suggests, Value


@dataclass(frozen=True)
class Proposal:
    """One point of the space.

    Attributes:
        selection: The layers to keep.
        settings: Values by their path in the recipe, such as "sts.learning_rate".
    """

    selection: LayerSelection
    settings: tuple[tuple[str, Value], ...] = ()

    def recipe(self, recipe: Recipe) -> Recipe:
        """Return the recipe of this point. Raises SearchError for values that do not go together."""
        tree = recipe.model_dump() | WHOLE | {"layers": _as_list(self.selection)}
        tree |= {"vocabulary": recipe.vocabulary, "vocabulary_corpus": recipe.vocabulary_corpus}
        return with_settings(tree, self.settings)


def _as_list(selection: LayerSelection) -> str:
    """Return the selection as a recipe's list of layers; a single layer as a range, as a number would be a count."""
    return str(selection) if selection.num_layers > 1 else f"{selection.kept[0]}-{selection.kept[0]}"


@dataclass(frozen=True)
class Space:
    """The selections of layers and the settings to choose from.

    Attributes:
        depth: Depth of the base.
        counts: How many layers may be kept, ascending.
        first_stays: Whether layer 0 is always kept.
        fixed: The layers to keep, where only settings vary; None otherwise.
        axes: The settings that vary, by their path in the recipe.
    """

    depth: int
    counts: tuple[int, ...]
    first_stays: bool = False
    fixed: LayerSelection | None = None
    axes: tuple[tuple[str, Axis], ...] = ()

    @property
    def num_selections(self) -> int:
        """Return the number of different selections of layers."""
        if self.fixed:
            return 1
        return sum(comb(self.depth - self.first_stays, count - self.first_stays) for count in self.counts)

    def selections(self) -> Iterator[LayerSelection]:
        """Yield all selections, by count, in the order of their layers."""
        if self.fixed:
            yield self.fixed
            return
        for count in self.counts:
            for kept in combinations(range(self.first_stays, self.depth), count - self.first_stays):
                yield LayerSelection((*range(self.first_stays), *kept), self.depth)

    def draw(self, generator: random.Random) -> LayerSelection:
        """Return a random selection; each count is equally likely."""
        if self.fixed:
            return self.fixed
        count = generator.choice(self.counts)
        kept = generator.sample(range(self.first_stays, self.depth), count - self.first_stays)
        return LayerSelection((*range(self.first_stays), *sorted(kept)), self.depth)

    def contains(self, selection: LayerSelection) -> bool:
        """Return whether a selection may be proposed."""
        if self.fixed:
            return selection == self.fixed
        return selection.num_layers in self.counts and (0 in selection.kept or not self.first_stays)

    def suggest(self, trial: Suggests) -> Proposal:
        """Let a trial choose a point: every layer has a priority, and those with the highest are kept."""
        if self.fixed:
            selection = self.fixed
        else:
            low, high = self.counts[0], self.counts[-1]
            count = low if len(self.counts) == 1 else trial.suggest_int("num_layers", low, high)
            free = range(self.first_stays, self.depth)
            priorities = {layer: trial.suggest_float(_priority(layer), 0, 1) for layer in free}
            ranked = sorted(free, key=lambda layer: (-priorities[layer], layer))
            kept = sorted(ranked[: count - self.first_stays])
            selection = LayerSelection((*range(self.first_stays), *kept), self.depth)
        return Proposal(selection, tuple((path, axis.suggest(parameter_name(path), trial)) for path, axis in self.axes))

    def params(self, selection: LayerSelection, recipe: Recipe | None = None) -> dict[str, Value]:
        """Return the parameters that `suggest` turns into this selection.

        Args:
            selection: The layers to keep.
            recipe: Its settings become parameters too; None leaves them to the sampler.
        """
        params: dict[str, Value] = {}
        if not self.fixed:
            if len(self.counts) > 1:
                params["num_layers"] = selection.num_layers
            for layer in range(self.first_stays, self.depth):
                params[_priority(layer)] = 0.75 if layer in selection.kept else 0.25
        if recipe is not None:
            flat = recipe.flat()
            for path, axis in self.axes:
                if (value := value_on(axis, flat[path])) is not None:
                    params[parameter_name(path)] = value
        return params

    def spread(self, paths: Collection[str], count: int, generator: random.Random) -> list[dict[str, Value]]:
        """Return settings that cover each of some axes evenly: a Latin hypercube (McKay et al. 1979).

        Args:
            paths: The axes to cover; the settings have no values for the others.
            count: How many settings to return.
            generator: Source of randomness.
        """
        axes = [(path, axis, generator.sample(range(count), count)) for path, axis in self.axes if path in paths]
        return [
            {parameter_name(path): axis.at((strata[point] + 0.5) / count) for path, axis, strata in axes}
            for point in range(count)
        ]

    def point(self, params: Mapping[str, Any]) -> Proposal:
        """Return the point that a trial's parameters stand for."""
        from optuna.trial import FixedTrial

        return self.suggest(FixedTrial(dict(params)))

    def settings_of(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a trial's parameters without those that choose layers."""
        names = {parameter_name(path) for path, _ in self.axes}
        return {name: value for name, value in params.items() if name in names}

    def up_to(self, num_layers: int) -> Self:
        """Return the space without deeper selections. Raises SearchError where nothing is left."""
        counts = tuple(count for count in self.counts if count <= num_layers)
        if not counts:
            raise SearchError(
                f"layers: the limits leave room for {num_layers} layers, the space begins at {self.counts[0]}. "
                "Allow more."
            )
        return type(self)(self.depth, counts, self.first_stays, self.fixed, self.axes)

    def __str__(self) -> str:
        counts = f"{self.counts[0]} to {self.counts[-1]}" if len(self.counts) > 1 else str(self.counts[0])
        choice = f"{counts} of {self.depth} layers ({self.num_selections:,} selections)"
        layers = f"layers {self.fixed}" if self.fixed else choice
        return "; ".join([layers, *(f"{parameter_name(path)} {axis}" for path, axis in self.axes)])


def _priority(layer: int) -> str:
    return f"priority_{layer:02}"


def parse_counts(text: str, depth: int) -> tuple[int, ...]:
    """Parse counts of layers: "6", "2..6", or "any", which is all that drop some. Raises SearchError."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*(?:\.\.\s*(\d{1,4})\s*)?", text)
    if text.strip() == "any":
        low, high = 1, max(1, depth - 1)
    elif match:
        low, high = int(match[1]), int(match[2] or match[1])
    else:
        raise SearchError(
            f"layers={text}: write how many layers to keep (6), a range (2..6), any, or which (0,2,4-7) to search "
            "settings alone."
        )
    if not 1 <= low <= high <= depth:
        raise SearchError(
            f"layers={text}: the encoder has {depth} layers. Write numbers from 1 to {depth}, the smaller one first."
        )
    return tuple(range(low, high + 1))


def space_of(recipe: Recipe, depth: int, *, first_stays: bool, axes: str | None) -> Space:
    """Return the space of a recipe, whose `layers` says how many layers to keep, or which.

    Args:
        recipe: The recipe.
        depth: Depth of the base.
        first_stays: Whether layer 0 is always kept.
        axes: What varies besides, as `parse_axes` reads it.

    Raises:
        SearchError: The counts or axes cannot be searched.
        SelectionError: The encoder does not have the listed layers.
    """
    varied, layers = parse_axes(axes, recipe), recipe.layers.strip()
    if layers.isdecimal() or not re.fullmatch(r"[\d\s,-]+", layers):
        counts = parse_counts(layers, depth)
        return Space(depth, counts, first_stays, None, varied)
    fixed = LayerSelection.parse(layers, depth=depth)
    return Space(depth, (fixed.num_layers,), first_stays, fixed, varied)


def as_flat(proposal: Proposal) -> Mapping[str, str]:
    """Return the settings of a proposal as text, by name."""
    return {
        parameter_name(path): f"{value:.3g}" if isinstance(value, float) else str(value)
        for path, value in proposal.settings
    }
