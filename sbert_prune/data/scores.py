"""The range of STS scores, given by the user or inferred from the data."""

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

from sbert_prune.errors import DataError

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")

_SHARE_WITHIN_ONE = 0.99
"""Below this share of scores up to 1, the range is 0-5; above it, the few that exceed 1 are mistakes."""


_FEW_KINDS = 5
FEWEST_TO_TELL = 20
"""Fewer scores do not tell their range."""

_MANY = 100
"""So many scores without one below 1 begin at 1."""


@dataclass
class ScoreStatistics:
    """What the range of some scores is inferred from; NaN and infinities do not count."""

    num: int = 0
    num_within_one: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    kinds: set[float] = field(default_factory=set)

    def add(self, score: float) -> None:
        """Look at one more score."""
        if math.isfinite(score):
            self.num += 1
            self.num_within_one += score <= 1
            self.lowest = min(self.lowest, score)
            self.highest = max(self.highest, score)
            if len(self.kinds) <= _FEW_KINDS:
                self.kinds.add(score)

    @property
    def are_within_one(self) -> bool:
        """Whether all but a few are 1 or less."""
        return self.num_within_one >= _SHARE_WITHIN_ONE * self.num

    @property
    def look_like_labels(self) -> bool:
        """Whether nothing but 0, 1 and 2 occurs, in many rows: the labels of NLI."""
        return self.num >= FEWEST_TO_TELL and self.kinds == {0.0, 1.0, 2.0}

    def __add__(self, other: "ScoreStatistics") -> "ScoreStatistics":
        return ScoreStatistics(
            self.num + other.num,
            self.num_within_one + other.num_within_one,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.kinds | other.kinds,
        )


@dataclass(frozen=True)
class ScoreRange:
    """The lowest and highest score that the annotators could give. seen: those that it was inferred from.

    Raises DataError for a range that is not ascending or not finite.
    """

    low: float
    high: float
    given: bool
    seen: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise DataError(
                f"The score range {self.low:g}-{self.high:g} is not ascending; write it as LOW-HIGH, such as sts_score_range=0-5."
            )

    @classmethod
    def inferred(cls, scores: "ScoreStatistics") -> Self:
        """0-1 when at least 99 % of the scores are 1 or less; 1-5 when many scores are none below 1; else 0-5."""
        seen = (scores.lowest, scores.highest)
        if scores.are_within_one:
            return cls(0.0, 1.0, given=False, seen=seen)
        begins_at_one = scores.lowest >= 1 and scores.num >= _MANY
        return cls(1.0 if begins_at_one else 0.0, 5.0, given=False, seen=seen)

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
        seen = f" from {self.seen[0]:g} to {self.seen[1]:g}" if self.seen else ""
        return f"scores {self.low:g}-{self.high:g}, {'given' if self.given else 'inferred'}{seen}"


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
