"""Was it worth it: the best that a search found, against what the same seconds of training would have found without it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import kendalltau, norm


@dataclass(frozen=True)
class Drawn:
    """Selections that were drawn at random and trained to their end: the dev score of each, and the mean of their seconds."""

    scores: tuple[float, ...]
    seconds: float

    def number_within(self, seconds: float) -> int:
        """How many could be trained in so many seconds; one at least."""
        return max(1, int(seconds / self.seconds)) if self.seconds > 0 else len(self.scores)

    def best_of(self, number: int) -> float:
        """The best dev score to be expected of so many.

        As far as there are so many, the mean over all ways to choose them; beyond, by a normal distribution with their mean and deviation
        (Blom 1958, the expectation of the largest).
        """
        ranked, count = sorted(self.scores), len(self.scores)
        if number >= count:
            if number == count or count < 2:
                return ranked[-1]
            return max(ranked[-1], statistics.fmean(ranked) + statistics.stdev(ranked) * _deviations(number))
        # The chance that the one at a rank is the best of those chosen, by counting from above.
        best, chance_left = 0.0, 1.0
        for rank in range(count - 1, number - 2, -1):
            here = chance_left * number / (rank + 1)
            best += here * ranked[rank]
            chance_left -= here
        return best

    def error_of(self, number: int) -> float:
        """The standard error of the best of so many: 0 as far as there are so many, beyond that of a sample's mean and deviation."""
        count = len(self.scores)
        if number <= count:
            return 0.0
        if count < 2:
            return math.inf
        return statistics.stdev(self.scores) * math.sqrt(1 / count + _deviations(number) ** 2 / (2 * (count - 1)))


def _deviations(number: int) -> float:
    """By how many standard deviations the largest of so many is above the mean, by a normal distribution."""
    return float(norm.ppf((number - 0.375) / (number + 0.25)))


@dataclass(frozen=True)
class Benefit:
    """found: the dev score of the search's best.  seconds: of training that the search spent, screening with it.

    drawn: at random; None where nothing was.  named: the score of each strategy that was trained to its end.
    reference: of the whole model.  floor: of the word embeddings alone, after the same recipe; None where they cannot be had.
    """

    found: float
    seconds: float
    drawn: Drawn | None
    named: Mapping[str, float]
    reference: float | None
    floor: float | None

    def rows(self) -> list[tuple[str, str, str]]:
        """A table: what, its dev score, and by how much the search's best is better."""
        rows = [("the search's best", f"{self.found:.4f}", "")]
        if self.drawn is not None:
            number = self.drawn.number_within(self.seconds)
            seen = "" if number <= len(self.drawn.scores) else f", expected from {len(self.drawn.scores)}"
            best, error = self.drawn.best_of(number), self.drawn.error_of(number)
            doubt = f" ± {error:.4f}" if error else ""
            rows.append((f"best of {number} random selections{seen}", f"{best:.4f}{doubt}", f"{self.found - best:+.4f}"))
        rows += [
            (name, f"{score:.4f}", f"{self.found - score:+.4f}") for name, score in sorted(self.named.items(), key=lambda one: -one[1])
        ]
        for name, score in (("the reference, all layers", self.reference), ("word embeddings alone, the same recipe", self.floor)):
            if score is not None:
                rows.append((name, f"{score:.4f}", f"{self.found - score:+.4f}"))
        return rows

    @property
    def rival(self) -> float | None:
        """The best of what needs no search; None where nothing of it was tried."""
        return max([*self._at_random()[:1], *self.named.values()], default=None)

    def _at_random(self) -> tuple[float, ...]:
        """The best of random draws for the same seconds, and its standard error; empty where nothing was drawn."""
        if self.drawn is None:
            return ()
        number = self.drawn.number_within(self.seconds)
        return self.drawn.best_of(number), self.drawn.error_of(number)

    def line(self) -> str:
        """The answer in one line: yes or no only where it does not hang on how well the random draws are known."""
        if self.rival is None:
            return "nothing that needs no search was trained beside it, so nobody knows"
        difference = self.found - self.rival
        told = f"{difference:+.4f} of dev over the best strategy or random draws for the same {self.seconds:.0f} s of training"
        if self.drawn is not None and all(self.found > score for score in self.named.values()):
            best, error = self._at_random()
            if abs(self.found - best) <= error:
                return f"too close to tell: {told}, of which {len(self.drawn.scores)} were drawn (± {error:.4f})"
        return f"{'yes' if difference > 0 else 'no'}: {told}"


def agreement(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Kendall's tau-b of two measures of the same trials; None for fewer than three, or where one of them is the same for all."""
    if len(pairs) < 3:
        return None
    tau = float(kendalltau([one for one, _ in pairs], [other for _, other in pairs]).statistic)
    return tau if tau == tau else None  # noqa: PLR0124 - NaN is not itself
