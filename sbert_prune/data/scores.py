"""The range of STS scores, given by the user or inferred from the data."""

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

from sbert_prune.errors import DataError

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_SHARE_WITHIN_ONE = 0.99
"""A split with such a share of scores up to 1 is scored from 0 to 1, though a few are mistakes."""

HIGHEST = (1, 3, 4, 5, 7, 10, 100)
"""Where the scales that annotators use end; they begin at 0 or 1, or go from -1 to 1."""

_MAX_VALUES = 3
MIN_SCORES = 20
"""From fewer scores, the range is not inferred."""

_ALONE = 0.25
"""A single score that is farther than such a share of the range from all others is taken for a mistake."""

HIDDEN = -1.0
"""Stands for a score that is not published, as in GLUE's test split."""


@dataclass
class ScoreStatistics:
    """Statistics from which the range of scores is inferred; NaN and infinities are ignored.

    Attributes:
        num: The number of scores.
        num_within_one: Those of 1 or less.
        has_negative_fractions: Whether a score is between -1 and 0.
        lowest: The two lowest scores, ascending.
        highest: The two highest, ascending.
        values: Four different scores at most.
    """

    num: int = 0
    num_within_one: int = 0
    has_negative_fractions: bool = False
    lowest: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()
    values: set[float] = field(default_factory=set)

    def add(self, score: float) -> None:
        """Add a score."""
        if math.isfinite(score):
            self.num += 1
            self.num_within_one += score <= 1
            self.has_negative_fractions |= HIDDEN < score < 0
            if len(self.lowest) < 2 or score < self.lowest[1]:
                self.lowest = tuple(sorted((*self.lowest, score))[:2])
            if len(self.highest) < 2 or score > self.highest[0]:
                self.highest = tuple(sorted((*self.highest, score))[-2:])
            if len(self.values) <= _MAX_VALUES:
                self.values.add(score)

    @property
    def low(self) -> float:
        """The lowest score."""
        return self.lowest[0]

    @property
    def high(self) -> float:
        """The highest score."""
        return self.highest[-1]

    @property
    def are_within_one(self) -> bool:
        """Whether all but a few are 1 or less."""
        return self.num_within_one >= _SHARE_WITHIN_ONE * self.num

    @property
    def look_like_labels(self) -> bool:
        """Whether the scores of many rows are three numbers in sequence, such as 0, 1 and 2, like the labels of NLI."""
        return self.num >= MIN_SCORES and any(self.values == {low, low + 1, low + 2} for low in (-1.0, 0.0, 1.0))

    @property
    def are_hidden(self) -> bool:
        """Whether every score is -1."""
        return self.values == {HIDDEN}

    def __add__(self, other: "ScoreStatistics") -> "ScoreStatistics":
        return ScoreStatistics(
            self.num + other.num,
            self.num_within_one + other.num_within_one,
            self.has_negative_fractions or other.has_negative_fractions,
            tuple(sorted(self.lowest + other.lowest)[:2]),
            tuple(sorted(self.highest + other.highest)[-2:]),
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
    def inferred(cls, scores: ScoreStatistics) -> Self:
        """Return the range whose two ends the scores reach, if it is one that annotators use.

        Raises:
            DataError: There are too few scores, or they do not reach the ends of such a range; the message begins in
                the middle of a sentence.
        """
        if scores.num < MIN_SCORES:
            raise DataError(f"of {scores.num} scores, the range is not inferred ({MIN_SCORES} are the fewest)")
        low, high = scores.low, scores.high
        described = f"the scores go from {low:g} to {high:g}"
        alone = [
            end
            for end, gap in ((low, scores.lowest[1] - low), (high, high - scores.highest[0]))
            if gap > _ALONE * (high - low)
        ]
        if alone:
            raise DataError(f"{described}, and {alone[0]:g} is far from all others, perhaps a mistake")
        is_usual = low in (0, 1) and high in HIGHEST and low < high
        if not is_usual and not ((low, high) == (HIDDEN, 1) and scores.has_negative_fractions):
            ends = ", ".join(map(str, HIGHEST))
            hidden = ". Those of -1 may be hidden" if low == HIDDEN else ""
            usual = f"0 or 1 to {ends}; or -1 to 1, with fractions below 0"
            raise DataError(f"{described}, which are not the ends of a usual range ({usual}){hidden}")
        return cls(low, high, is_given=False, observed=(low, high))

    def scale(self, score: float) -> float:
        """Return the score scaled to 0-1. Raises DataError for a score outside the range, NaN or infinity."""
        if not self.low <= score <= self.high:
            hidden = ", which often stands for a hidden score" if score == HIDDEN else ""
            origin = "the given range" if self.is_given else "inferred"
            raise DataError(f"the score is {score:g}{hidden}; expected {self.low:g} to {self.high:g} ({origin})")
        return abs(score - self.low) / (self.high - self.low)  # abs: -0.0 is 0

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
