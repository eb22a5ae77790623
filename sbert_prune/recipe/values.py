"""How far to trim a vocabulary, as a value that cannot be wrong."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from sbert_prune.errors import RecipeError

_COUNT = re.compile(r"[0-9]{1,9}")  # nine digits: int() refuses thousands
_SHARE = re.compile(r"[0-9]?\.[0-9]{1,18}")
_RIGHT = "Write all, a number of pieces such as 8000, or a share of a corpus to cover such as 0.999."


@dataclass(frozen=True, slots=True)
class VocabularyLimit:
    """What a trimmed vocabulary may hold; neither of the two given means no trimming.

    pieces: number of pieces in all, special ones included; 1 or more.
    coverage: share of the corpus' piece occurrences that the kept pieces cover, above 0, at most 1.

    Raises RecipeError for both at once, or a number outside its range.
    """

    pieces: int | None = None
    coverage: float | None = None

    def __post_init__(self) -> None:
        if self.pieces is not None and self.coverage is not None:
            raise RecipeError(
                f"vocabulary={self.pieces} and vocabulary={self.coverage} at once: give a number of pieces or a share, not both."
            )
        if self.pieces is not None and self.pieces < 1:
            raise RecipeError(f"vocabulary={self.pieces}: at least 1 piece must stay. {_RIGHT}")
        if self.coverage is not None and not (math.isfinite(self.coverage) and 0 < self.coverage <= 1):
            raise RecipeError(f"vocabulary={self.coverage}: a share lies above 0 and is at most 1.0. {_RIGHT}")

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
        raise RecipeError(f"vocabulary={shown}: not a limit. {_RIGHT}")

    @property
    def trims(self) -> bool:
        """Whether anything may go."""
        return self.pieces is not None or self.coverage is not None

    def __str__(self) -> str:
        if self.pieces is not None:
            return str(self.pieces)
        return "all" if self.coverage is None else f"{Decimal(repr(float(self.coverage))):f}"
