"""One score of a recipe from several seeds, with an interval that holds for other pairs and other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from sbert_prune.evaluation.bootstrap import LEVEL

if TYPE_CHECKING:
    from sbert_prune.evaluation.bootstrap import Score


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """The mean of a score over seeds.

    deviation: between seeds (n - 1 below).  low, high: ends of the 95 % interval.  values: of each seed.
    error: of the mean, pairs and seeds together.  freedom: degrees of freedom of Student's t.
    """

    mean: float
    deviation: float
    low: float
    high: float
    values: tuple[float, ...]
    error: float
    freedom: float

    def probability_below(self, bound: float) -> float:
        """How likely the mean over all seeds and pairs is below a bound, 0 to 1."""
        return float(student.cdf((bound - self.mean) / self.error, self.freedom)) if self.error else float(self.mean < bound)


def over_seeds(scores: Sequence[Score], level: float = LEVEL) -> OverSeeds:
    """The mean of scores of the same rows, one a seed. The interval adds the variance of the pairs drawn to that of the seeds.

    With two or three seeds their own variance is hardly known; Student's t takes care of that, with the degrees of freedom that the two
    variances have together (Satterthwaite 1946).

    Raises ValueError for fewer than two scores, or scores of different rows.
    """
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} seeds say nothing about their spread; give two or more")
    if len({(score.sample, len(score.draws)) for score in scores}) > 1:
        raise ValueError("the scores are not of the same rows")
    values = np.array([score.value for score in scores])
    of_pairs = float(np.nanvar(np.mean([score.draws for score in scores], axis=0), ddof=1))
    of_seeds = float(values.var(ddof=1)) / len(values)
    variance = of_pairs + of_seeds
    freedom = variance**2 / (of_seeds**2 / (len(values) - 1)) if of_seeds > 0 else np.inf
    width = float(student.ppf((1 + level) / 2, freedom)) * variance**0.5
    mean = float(values.mean())
    return OverSeeds(mean, float(values.std(ddof=1)), mean - width, mean + width, tuple(map(float, values)), variance**0.5, float(freedom))
