"""Was it worth it: the best that a search found, against what the same seconds of training would have found without it."""

from __future__ import annotations

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
            beyond = statistics.fmean(ranked) + statistics.stdev(ranked) * float(norm.ppf((number - 0.375) / (number + 0.25)))
            return max(ranked[-1], beyond)
        # The chance that the one at a rank is the best of those chosen, by counting from above.
        best, chance_left = 0.0, 1.0
        for rank in range(count - 1, number - 2, -1):
            here = chance_left * number / (rank + 1)
            best += here * ranked[rank]
            chance_left -= here
        return best


@dataclass(frozen=True)
class Worth:
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
            best = self.drawn.best_of(number)
            rows.append((f"best of {number} random selections{seen}", f"{best:.4f}", f"{self.found - best:+.4f}"))
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
        random_best = [self.drawn.best_of(self.drawn.number_within(self.seconds))] if self.drawn is not None else []
        return max([*random_best, *self.named.values()], default=None)

    def line(self) -> str:
        """The answer in one line."""
        if self.rival is None:
            return "nothing that needs no search was trained beside it, so nobody knows"
        difference = self.found - self.rival
        told = f"{difference:+.4f} of dev over the best strategy or random draws for the same {self.seconds:.0f} s of training"
        return f"{'yes' if difference > 0 else 'no'}: {told}"


def agreement(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Kendall's tau-b of two measures of the same trials; None for fewer than three, or where one of them is the same for all."""
    if len(pairs) < 3:
        return None
    tau = float(kendalltau([one for one, _ in pairs], [other for _, other in pairs]).statistic)
    return tau if tau == tau else None  # noqa: PLR0124 - NaN is not itself
