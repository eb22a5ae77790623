"""The benefit of a search: its best score against what needs no search, for the same seconds of training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import kendalltau, norm

MIN_CONTROLS = 3
"""The benefit is not measured with fewer controls."""


@dataclass(frozen=True)
class RandomDraws:
    """Selections that were drawn at random and trained to their end.

    Attributes:
        scores: The dev score of each.
        seconds: The mean of their seconds of training.
    """

    scores: tuple[float, ...]
    seconds: float

    def number_within(self, seconds: float) -> int:
        """Return how many could be trained in this time; at least one."""
        return max(1, int(seconds / self.seconds)) if self.seconds > 0 else len(self.scores)

    def best_of(self, number: int) -> float:
        """Return the expected best dev score of this many draws.

        Up to the number of scores, it is the mean over all ways to choose them. Beyond, it follows a normal
        distribution with their mean and deviation (Blom 1958, the expectation of the largest).
        """
        ranked, count = sorted(self.scores), len(self.scores)
        if number >= count:
            if number == count or count < 2:
                return ranked[-1]
            return max(ranked[-1], statistics.fmean(ranked) + statistics.stdev(ranked) * _deviations(number))
        # For each rank from above, the probability that it is the best of those chosen.
        best, remaining = 0.0, 1.0
        for rank in range(count - 1, number - 2, -1):
            probability = remaining * number / (rank + 1)
            best += probability * ranked[rank]
            remaining -= probability
        return best

    def error_of(self, number: int) -> float:
        """Return the standard error of the expected best.

        It is 0 up to the number of scores; beyond, that of a sample's mean and deviation.
        """
        count = len(self.scores)
        if number <= count:
            return 0.0
        if count < 2:
            return math.inf
        return statistics.stdev(self.scores) * math.sqrt(1 / count + _deviations(number) ** 2 / (2 * (count - 1)))


def _deviations(number: int) -> float:
    """Return how many standard deviations the largest of this many normal values is above the mean."""
    return float(norm.ppf((number - 0.375) / (number + 0.25)))


@dataclass(frozen=True)
class Benefit:
    """The best of a search beside its baselines, in dev scores.

    Attributes:
        best: Score of the search's best.
        seconds: Seconds of training that the search spent, with screening.
        drawn: Random selections; None where none was trained.
        named: Score of each strategy that was trained to its end.
        reference: Score of the whole model.
        zero_layer: Score of the word embeddings alone after the same recipe; None where it cannot be had.
    """

    best: float
    seconds: float
    drawn: RandomDraws | None
    named: Mapping[str, float]
    reference: float | None
    zero_layer: float | None

    def rows(self) -> list[tuple[str, str, str]]:
        """Return a table: name, dev score, and by how much the search's best is better."""
        rows = [("the search's best", f"{self.best:.4f}", "")]
        if self.drawn is not None:
            number = self.drawn.number_within(self.seconds)
            trained = len(self.drawn.scores)
            basis = "" if number <= trained else f", expected from {trained}"
            score, error = self.drawn.best_of(number), self.drawn.error_of(number)
            margin = f" ± {error:.4f}" if error else ""
            name = f"best of {number} random selections{basis}"
            rows.append((name, f"{score:.4f}{margin}", f"{self.best - score:+.4f}"))
        baselines: list[tuple[str, float | None]] = [
            *sorted(self.named.items(), key=lambda item: -item[1]),
            ("the reference, all layers", self.reference),
            ("word embeddings alone, the same recipe", self.zero_layer),
        ]
        rows += [(name, f"{score:.4f}", f"{self.best - score:+.4f}") for name, score in baselines if score is not None]
        return rows

    @property
    def num_controls(self) -> int:
        """Return the number of selections that need no search and were trained to their end."""
        return len(self.named) + (len(self.drawn.scores) if self.drawn is not None else 0)

    @property
    def rival(self) -> float | None:
        """Return the best score of what needs no search; None for too few controls."""
        return max([*self._at_random()[:1], *self.named.values()]) if self.num_controls >= MIN_CONTROLS else None

    def _at_random(self) -> tuple[float, ...]:
        """Return the expected best of random draws for the same seconds and its standard error; empty without draws."""
        if self.drawn is None:
            return ()
        number = self.drawn.number_within(self.seconds)
        return self.drawn.best_of(number), self.drawn.error_of(number)

    def line(self) -> str:
        """Return the answer in one line.

        It is yes or no, unless it depends on the error of the random draws or there are too few controls.
        """
        if self.rival is None:
            number = self.num_controls
            return f"not measured: {number} control{'s' * (number != 1)} trained, at least {MIN_CONTROLS} are needed"
        difference = self.best - self.rival
        baseline = f"the best strategy or random draws for the same {self.seconds:.0f} s of training"
        gain = f"{difference:+.4f} of dev over {baseline}"
        if self.drawn is not None and all(self.best > score for score in self.named.values()):
            score, error = self._at_random()
            if abs(self.best - score) <= error:
                num_drawn = len(self.drawn.scores)
                return f"too close to tell: {gain}, of which {num_drawn} were drawn (± {error:.4f})"
        return f"{'yes' if difference > 0 else 'no'}: {gain}"


def agreement(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return Kendall's tau-b of two measures of the same trials.

    None for fewer than three trials, or where a measure is the same for all.
    """
    if len(pairs) < 3:
        return None
    tau = float(kendalltau([first for first, _ in pairs], [second for _, second in pairs]).statistic)
    return None if math.isnan(tau) else tau
