"""The range of STS scores, given by the user or inferred from the data."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from sbert_prune.errors import DataError

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")

_SHARE_WITHIN_ONE = 0.99
"""Below this share of scores up to 1, the range is 0-5; above it, the few that exceed 1 are mistakes."""


_MANY = 100
"""So many scores without one below 1 begin at 1."""


@dataclass
class ScoreStatistics:
    """What the range of some scores is inferred from; NaN and infinities do not count."""

    num: int = 0
    num_within_one: int = 0
    lowest: float = math.inf

    def add(self, score: float) -> None:
        """Look at one more score."""
        if math.isfinite(score):
            self.num += 1
            self.num_within_one += score <= 1
            self.lowest = min(self.lowest, score)


@dataclass(frozen=True)
class ScoreRange:
    """The lowest and highest score that the annotators could give.

    Raises DataError for a range that is not ascending or not finite.
    """

    low: float
    high: float
    given: bool

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise DataError(
                f"The score range {self.low:g}-{self.high:g} is not ascending; write it as LOW-HIGH, such as sts_score_range=0-5."
            )

    @classmethod
    def inferred(cls, scores: "ScoreStatistics") -> Self:
        """0-1 when at least 99 % of the scores are 1 or less; 1-5 when many scores are none below 1; else 0-5."""
        if scores.num_within_one >= _SHARE_WITHIN_ONE * scores.num:
            return cls(0.0, 1.0, given=False)
        begins_at_one = scores.lowest >= 1 and scores.num >= _MANY
        return cls(1.0 if begins_at_one else 0.0, 5.0, given=False)

    def scale(self, score: float) -> float:
        """The score from 0 to 1.

        Raises DataError for a score outside the range, NaN and infinities included.
        """
        if not self.low <= score <= self.high:
            raise DataError(f"the score is {score:g}; expected {self.low:g} to {self.high:g} ({self._origin()})")
        return abs(score - self.low) / (self.high - self.low)  # abs: -0.0 is 0

    def _origin(self) -> str:
        return "the given range" if self.given else "inferred from all scores; sts_score_range=LOW-HIGH sets it"

    def __str__(self) -> str:
        return f"scores {self.low:g}-{self.high:g}, {'given' if self.given else 'inferred'}"


def parse_number(cell: object) -> float | None:
    """The number in a cell, also with a decimal comma; None when there is none."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        return None
    text = str(cell)
    if "_" in text:  # float() reads 1_0 as 10
        return None
    try:
        return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        return None
