"""Values of recipes: the vocabulary limit, named settings, the shares of splits, and how a search varies a setting."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BeforeValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from sbert_prune.errors import RecipeError

_COUNT = re.compile(r"[0-9]{1,9}")  # nine digits: int() rejects very long numbers
_SHARE = re.compile(r"[0-9]?\.[0-9]{1,18}")
_FORMATS = "Write all, a number of pieces such as 8000, or a share of a corpus to cover such as 0.999."


@dataclass(frozen=True, slots=True)
class Varies:
    """Metadata of a field that a search may vary. A number then takes a range, up to the field's upper bound.

    Attributes:
        log: Whether the values of a range are spread by their ratio instead of their difference.
        choices: Whether the setting takes a list of values; what is not a number takes nothing else.
    """

    log: bool = False
    choices: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """Metadata of a field that takes one of the names of a table."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Refuse other names, as pydantic does for a Literal."""
        return core_schema.literal_schema(list(self.names))


@dataclass(frozen=True, slots=True)
class VocabularyLimit:
    """The limit of a trimmed vocabulary; without pieces and coverage, nothing is trimmed.

    Attributes:
        pieces: Total number of pieces, special ones included; 1 or more.
        coverage: Share of the piece occurrences in the corpus that the kept pieces cover, above 0, at most 1.

    Raises:
        RecipeError: Both are set, or a number is outside its range.
    """

    pieces: int | None = None
    coverage: float | None = None

    def __post_init__(self) -> None:
        if self.pieces is not None and self.coverage is not None:
            raise RecipeError(
                f"vocabulary={self.pieces} and vocabulary={self.coverage} at once: give a number of pieces or a share, "
                "not both."
            )
        if self.pieces is not None and self.pieces < 1:
            raise RecipeError(f"vocabulary={self.pieces}: at least 1 piece must stay. {_FORMATS}")
        if self.coverage is not None and not (math.isfinite(self.coverage) and 0 < self.coverage <= 1):
            raise RecipeError(f"vocabulary={self.coverage}: a share lies above 0 and is at most 1.0. {_FORMATS}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "all", "8000" (pieces) or "0.999" (coverage). Inverts str(). Raises RecipeError for anything else."""
        word = text.strip()
        if word == "all":
            return cls()
        if _COUNT.fullmatch(word):
            return cls(pieces=int(word))
        if _SHARE.fullmatch(word):
            return cls(coverage=float(word))
        shown = word if len(word) <= 40 else f"{word[:40]}..."
        raise RecipeError(f"vocabulary={shown}: not a limit. {_FORMATS}")

    @property
    def trims(self) -> bool:
        """Return whether the vocabulary is trimmed at all."""
        return self.pieces is not None or self.coverage is not None

    def __str__(self) -> str:
        if self.pieces is not None:
            return str(self.pieces)
        return "all" if self.coverage is None else f"{Decimal(repr(float(self.coverage))):f}"


_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,49}", re.ASCII)
_NEXT = re.compile(r",(?=\s*[^=,/\\]*=)")
"""A comma before a name; other commas can be part of a file name."""


def named_settings(text: str) -> dict[str, str]:
    """Parse "name=FOLDER,name2=FILE" into values by name, in order; an empty text gives an empty dictionary.

    A comma is a separator only if a name and an equals sign follow; otherwise it belongs to the value.

    Raises RecipeError for a part without a name or a value, a name that cannot be part of a metric name, and a
    duplicate name.
    """
    settings: dict[str, str] = {}
    for part in _NEXT.split(text) if text.strip() else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise RecipeError(f"{part.strip()!r} has no name. {_EXPECTED}, for example {_suggested(name)}={name}.")
        if not _NAME.fullmatch(name):
            raise RecipeError(
                f"{name[:60]!r} cannot be a name: its metrics carry it. A name has at most 50 letters, digits, '.', "
                f"'_' and '-', and begins with a letter or digit. {_EXPECTED}."
            )
        if not value:
            raise RecipeError(f"{name}= has no value. {_EXPECTED}.")
        if name in settings:
            raise RecipeError(
                f"The name {name!r} is given twice, for {settings[name]} and for {value}. Give each its own."
            )
        settings[name] = value
    return settings


_EXPECTED = "Expected NAME=FOLDER or NAME=FILE, several with a comma between them"


def _suggested(value: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", re.split(r"[/\\]", value.rstrip("/\\"))[-1].partition(".")[0]).strip("-")
    return stem[:50] or "mine"


def parse_shares(value: object) -> tuple[float, ...]:
    """Parse three shares above 0 that sum to 1 within 1e-6, from text ("0.8,0.1,0.1") or a list.

    Raises ValueError with the expected format.
    """
    parts = value.split(",") if isinstance(value, str) else value
    try:
        shares = tuple(float(part) for part in parts) if isinstance(parts, list | tuple) else ()
    except (TypeError, ValueError):
        shares = ()
    if len(shares) != 3 or not all(0 < share < math.inf for share in shares):
        raise ValueError("write three shares above 0, of train, dev and test, such as 0.8,0.1,0.1")
    if abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"the shares of train, dev and test sum to {sum(shares):g}, not to 1. Write them such as 0.8,0.1,0.1"
        )
    return shares


Shares = Annotated[tuple[float, float, float], BeforeValidator(parse_shares)]

DEFAULT_SHARES = (0.8, 0.1, 0.1)
