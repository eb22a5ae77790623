"""The settings of a recipe that a search varies: each is an axis with a range or a list of values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from sbert_prune.errors import SearchError
from sbert_prune.recipe.fields import SETTINGS
from sbert_prune.recipe.recipe import Recipe, parameter_name

Value = float | int | str


class Suggests(Protocol):
    """Chooses the values of a point: an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any: ...


@dataclass(frozen=True)
class Numbers:
    """A range of numbers.

    Attributes:
        low: Smallest value.
        high: Largest value.
        whole: Whether the values are whole numbers.
        log: Whether values are spread by their ratio instead of their difference.
    """

    low: float
    high: float
    whole: bool = False
    log: bool = False

    def at(self, share: float) -> Value:
        """Return the value at a share of the range, 0 to 1."""
        value = self.low * (self.high / self.low) ** share if self.log else self.low + (self.high - self.low) * share
        return round(value) if self.whole else value

    def suggest(self, name: str, trial: Suggests) -> Value:
        """Let a trial choose a value."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Choices:
    """A list of values without an order."""

    values: tuple[str, ...]

    def at(self, share: float) -> Value:
        """Return the value at a share of the list, 0 to 1."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def suggest(self, name: str, trial: Suggests) -> Value:
        """Let a trial choose a value."""
        return str(trial.suggest_categorical(name, self.values))

    def __str__(self) -> str:
        return "/".join(self.values)


Axis = Numbers | Choices

_VARIED = {path: setting.varies for path, setting in SETTINGS.items() if setting.varies is not None}
"""How the settings that may vary do."""

_AROUND = 4.0
"""A setting that is named without a range varies from a quarter of the recipe's value to four times that."""

DEFAULT_AXES = "learning_rate"

LAYERS_ALONE = "layers"


def with_settings(tree: dict[str, Any], settings: Sequence[tuple[str, Value]]) -> Recipe:
    """Return a recipe with other settings.

    Args:
        tree: The recipe as nested dictionaries; it is changed.
        settings: The values, by their paths.

    Raises:
        SearchError: The values do not go together.
    """
    for path, value in settings:
        group, _, name = path.rpartition(".")
        target = tree[group] if group else tree
        target[name] = value
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "_".join(map(str, problem["loc"]))
        reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
        raise SearchError(f"space: {where}={problem['input']} cannot be tried: {reason}.") from error


def value_on(axis: Axis, text: str) -> Value | None:
    """Return a value that is written as text; None where the axis does not have it."""
    if isinstance(axis, Choices):
        return next((value for value in axis.values if value.lower() == text.lower()), None)
    value = float(text or "nan")
    return (int(value) if axis.whole else value) if axis.low <= value <= axis.high else None


def parse_axes(text: str | None, recipe: Recipe) -> tuple[tuple[str, Axis], ...]:
    """Parse what varies besides the layers, such as "sts_learning_rate=1e-5..1e-3,sts_loss=cosine/cosent,nli_scale".

    Args:
        text: A name alone stands for a range around the recipe's value, "layers" for no setting. None stands for the
            learning rates of the recipe's phases.
        recipe: The recipe.

    Returns:
        The axes by their path in the recipe, sorted.

    Raises:
        SearchError: A setting cannot vary, or not like this.
    """
    phases = [phase for phase in ("nli", "sts", "distil") if phase in recipe.phases]
    if text is None:
        paths = [f"{phase}.{DEFAULT_AXES}" for phase in phases]
        return tuple((path, _around(path, recipe)) for path in paths)
    axes: dict[str, Axis] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, values = (piece.strip() for piece in part.partition("="))
        if name == LAYERS_ALONE and not values:
            continue
        path = _path(name, phases)
        if path in axes:
            raise SearchError(f"space: {name} is given twice.")
        axes[path] = _parse_axis(name, path, values) if values else _around(path, recipe)
        for value in _ends(axes[path]):
            with_settings(recipe.model_dump(), [(path, value)])
    return tuple(sorted(axes.items()))


def _path(name: str, phases: Sequence[str]) -> str:
    by_name = {parameter_name(path): path for path in _VARIED if SETTINGS[path].group in {*phases, ""}}
    if name not in by_name:
        raise SearchError(f"space: {name} cannot vary. What can: layers, {', '.join(by_name)}.")
    return by_name[name]


def _parse_axis(name: str, path: str, text: str) -> Axis:
    setting = SETTINGS[path]
    ends = re.fullmatch(r"([^/]+)\.\.([^/]+)", text)
    if ends is None:
        if not _VARIED[path].choices:
            raise SearchError(f"space: {name}={text}: write a range, such as {name}=1e-5..1e-3.")
        values = tuple(value.strip() for value in text.split("/"))
        if len(set(values)) < len(values):
            raise SearchError(f"space: {name}={text}: write each value once.")
        return Choices(values)
    if setting.number is None:
        raise SearchError(f"space: {name}={text}: write values with / between them, such as sts_loss=cosine/cosent.")
    try:
        low, high = float(ends[1]), float(ends[2])
    except ValueError:
        low, high = 1.0, 0.0
    log = _VARIED[path].log
    if not low <= high or (log and low <= 0):
        bound = " above 0" if log else ""
        raise SearchError(f"space: {name}={text}: write two numbers{bound}, the smaller one first, such as 1e-5..1e-3.")
    return Numbers(low, high, whole=setting.number is int, log=log)


def _around(path: str, recipe: Recipe) -> Axis:
    setting = SETTINGS[path]
    value = float(recipe.flat()[path] or 0) if setting.number else 0.0
    if value <= 0:
        raise SearchError(
            f"space: {parameter_name(path)} needs its values: a range (1e-5..1e-3), or a list (cosine/cosent)."
        )
    high = value * _AROUND if setting.at_most is None else min(value * _AROUND, setting.at_most)
    return Numbers(value / _AROUND, high, whole=setting.number is int, log=_VARIED[path].log)


def _ends(axis: Axis) -> tuple[Value, ...]:
    return axis.values if isinstance(axis, Choices) else (axis.low, axis.high)
