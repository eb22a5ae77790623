"""The range of STS scores, given by the user or inferred from the data."""

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

from sbert_prune.errors import DataError

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_SHARE_WITHIN_ONE = 0.99
"""Below this share of scores up to 1, the range is 0-5; above it, the few scores over 1 are mistakes."""

_MAX_VALUES = 5
MIN_SCORES = 20
"""From fewer scores, the range is not inferred."""

_MANY = 100
"""If none of so many scores is below 1, the range begins at 1."""


@dataclass
class ScoreStatistics:
    """Statistics from which the range of scores is inferred; NaN and infinities are ignored."""

    num: int = 0
    num_within_one: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    values: set[float] = field(default_factory=set)

    def add(self, score: float) -> None:
        """Add a score."""
        if math.isfinite(score):
            self.num += 1
            self.num_within_one += score <= 1
            self.lowest = min(self.lowest, score)
            self.highest = max(self.highest, score)
            if len(self.values) <= _MAX_VALUES:
                self.values.add(score)

    @property
    def are_within_one(self) -> bool:
        """Whether all but a few are 1 or less."""
        return self.num_within_one >= _SHARE_WITHIN_ONE * self.num

    @property
    def look_like_labels(self) -> bool:
        """Whether the scores of many rows are 0, 1 and 2 only, like the labels of NLI."""
        return self.num >= MIN_SCORES and self.values == {0.0, 1.0, 2.0}

    def __add__(self, other: "ScoreStatistics") -> "ScoreStatistics":
        return ScoreStatistics(
            self.num + other.num,
            self.num_within_one + other.num_within_one,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.values | other.values,
        )


@dataclass(frozen=True)
class ScoreRange:
    """The range of scores that the annotators could give.

    Attributes:
        low: The lowest score.
        high: The highest score.
        is_given: Whether you set the range; else it was inferred.
        observed: The lowest and highest score in the data, if the range was inferred from them.

    Raises:
        DataError: The range is not ascending or not finite.
    """

    low: float
    high: float
    is_given: bool
    observed: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise DataError(
                f"The score range {self.low:g}-{self.high:g} is not ascending; write it as LOW-HIGH, such as "
                "sts_score_range=0-5."
            )

    @classmethod
    def inferred(cls, scores: "ScoreStatistics") -> Self:
        """Return 0-1 if at least 99 % of the scores are 1 or less; 1-5 if none of many scores is below 1; else 0-5."""
        observed = (scores.lowest, scores.highest)
        if scores.are_within_one:
            return cls(0.0, 1.0, is_given=False, observed=observed)
        begins_at_one = scores.lowest >= 1 and scores.num >= _MANY
        return cls(1.0 if begins_at_one else 0.0, 5.0, is_given=False, observed=observed)

    def scale(self, score: float) -> float:
        """Return the score scaled to 0-1. Raises DataError for a score outside the range, NaN or infinity."""
        if not self.low <= score <= self.high:
            raise DataError(f"the score is {score:g}; expected {self.low:g} to {self.high:g} ({self._origin()})")
        return abs(score - self.low) / (self.high - self.low)  # abs: -0.0 is 0

    def _origin(self) -> str:
        return "the given range" if self.is_given else "inferred from all scores; sts_score_range=LOW-HIGH sets it"

    def __str__(self) -> str:
        observed = f" from {self.observed[0]:g} to {self.observed[1]:g}" if self.observed else ""
        return f"scores {self.low:g}-{self.high:g}, {'given' if self.is_given else 'inferred'}{observed}"


def parse_number(cell: object) -> float | None:
    """Return the number in a cell, also with a decimal comma; None if it is not a number."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        return None
    text = str(cell)
    if "_" in text:  # float() reads 1_0 as 10
        return None
    try:
        return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        return None
