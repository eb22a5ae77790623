"""The settings of a recipe, as their fields declare them: help, values, default, and how a search varies them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import get_annotations
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from sbert_prune.recipe.recipe import Recipe, parameter_name
from sbert_prune.recipe.settings import Settings
from sbert_prune.recipe.values import OneOf, Varies

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_NO_PARAMETERS = {"name", "about", "hints", "downloads"}
"""Fields that only a file can give."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a recipe.

    Attributes:
        path: Its path in the recipe, such as "nli.epochs".
        description: What it does, in a sentence or two.
        values: The values that it takes: choices with a comma between them, or the limits of a number; "" for others.
        default: The default as text, "" for none; None if every recipe has to give a value.
        varies: How a search may vary it; None if it may not.
        number: The type of a number; None for other values.
        at_most: Upper bound of a number; None for no bound.
    """

    path: str
    description: str
    values: str
    default: str | None
    varies: Varies | None
    number: type[int] | type[float] | None
    at_most: float | None

    @property
    def group(self) -> str:
        """Return the phase that it belongs to, such as "nli", or ""."""
        return self.path.rpartition(".")[0]

    @property
    def parameter(self) -> str:
        """Return the parameter of the commands that overrides it, such as "nli_epochs"."""
        return parameter_name(self.path)

    @property
    def kind(self) -> str:
        """Return the kind of value that it takes, as the help of a command shows it: [mean|cls], INTEGER, TEXT."""
        if self.number is not None:
            return "INTEGER" if self.number is int else "NUMBER"
        return f"[{self.values.replace(', ', '|')}]" if self.values else "TEXT"

    @property
    def help(self) -> str:
        """Return the description, preceded by the phase and followed by the limits of a number."""
        phase = f"{self.group}: " if self.group else ""
        limits = f" {self.values[0].upper()}{self.values[1:]}." if self.number and self.values else ""
        return f"{phase}{self.description}{limits}"


def fields_in_order(settings: type[Settings]) -> dict[str, FieldInfo]:
    """Return the fields of a class, its own ones before the inherited ones."""
    names = dict.fromkeys(name for kind in settings.__mro__ for name in get_annotations(kind))
    return {name: settings.model_fields[name] for name in names if name in settings.model_fields}


def _settings_of(settings: type[Settings], prefix: str = "") -> Iterator[Setting]:
    for name, field in fields_in_order(settings).items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from _settings_of(kind, f"{name}.")
        elif prefix or name not in _NO_PARAMETERS:
            yield _setting(prefix + name, field)


def _setting(path: str, field: FieldInfo) -> Setting:
    kinds = _kinds(field.annotation)
    number = next((kind for kind in kinds if kind is int or kind is float), None)
    bounds = {name: getattr(item, name) for item in field.metadata for name in _BOUNDS if hasattr(item, name)}
    if number is int and "lt" in bounds:
        bounds["le"] = bounds.pop("lt") - 1
    return Setting(
        path,
        description=field.description or "",
        values=_limits(bounds) if number else ", ".join(_choices(kinds, field)),
        default=None if field.is_required() else _text(field.get_default(call_default_factory=True)),
        varies=next((item for item in field.metadata if isinstance(item, Varies)), None),
        number=number,
        at_most=bounds.get("le"),
    )


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of an annotation, without None."""
    alternatives = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    return tuple(kind for kind in alternatives if kind is not NoneType)


def _choices(kinds: tuple[Any, ...], field: FieldInfo) -> tuple[str, ...]:
    table = next((item for item in field.metadata if isinstance(item, OneOf)), None)
    if table is not None:
        return table.names
    if kinds == (bool,):
        return "true", "false"
    return get_args(kinds[0]) if get_origin(kinds[0]) is Literal else ()


_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
"""The bounds of a number, as pydantic names them, in words."""


def _limits(bounds: dict[str, float]) -> str:
    """Return the limits of a number in words, such as "above 0, at most 1"."""
    if set(bounds) == {"ge", "le"}:
        return f"{_text(bounds['ge'])} to {_text(bounds['le'])}"
    return ", ".join(f"{_BOUNDS[bound]} {_text(limit)}" for bound, limit in bounds.items())


def _text(value: object) -> str:
    """Return a value as users write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value) if value or value == 0 else ""


SETTINGS: dict[str, Setting] = {setting.path: setting for setting in _settings_of(Recipe)}
"""The settings of a recipe by path, in the order in which they are shown."""
