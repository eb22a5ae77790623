"""Scores with what they would have been on other samples of the same kind: the paired bootstrap (Efron 1979; Berg-Kirkpatrick et al. 2012).

A measure says how it scores rows that were drawn so and so often; one seed draws the same rows for every model, so that two models'
scores are compared draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """A score of each resample from how often each row was drawn. *Shapes:* (resamples, rows) -> (resamples,)"""

RESAMPLES = 10_000
LEVEL = 0.95
MARGIN = 0.01
"""A difference of one point is what people mean by "as good as"."""

_CELLS = 1 << 18  # of a chunk of counts: 2 MB, which stays in a core's cache
_MOST_CELLS = 400_000_000
_FEWEST_RESAMPLES = 1000
MIN_ROWS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A score, and the same on each resample of its rows.

    draws: NaN where a resample has no score (all its pairs equal, say). *Shape:* (resamples,)
    sample: names the rows; scores of the same sample are compared draw by draw.  num_rows: how many they are.
    """

    value: float
    draws: NDArray[np.float64]
    sample: str
    num_rows: int

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.interval()[1]

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The percentile interval; never without the value itself. NaN where no resample has a score."""
        if np.isnan(self.draws).all():
            return float("nan"), float("nan")
        low, high = np.nanquantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return min(float(low), self.value), max(float(high), self.value)

    def minus(self, other: Score) -> Score:
        """How much better than another model on the same rows. Raises ValueError for other rows."""
        return Score(self.value - other.value, self.draws - self._paired(other), self.sample, self.num_rows)

    def negated(self) -> Score:
        """The same with the other sign."""
        return Score(-self.value, -self.draws, self.sample, self.num_rows)

    def over(self, other: Score) -> Score:
        """The share of another model's score on the same rows. Raises ValueError for other rows."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return Score(self.value / other.value, self.draws / self._paired(other), self.sample, self.num_rows)

    def probability_below(self, bound: float) -> float:
        """Share of the resamples with a score below a bound, 0 to 1."""
        known = self.draws[~np.isnan(self.draws)]
        return float((known < bound).mean()) if len(known) else float("nan")

    def _paired(self, other: Score) -> NDArray[np.float64]:
        if (self.sample, len(self.draws)) != (other.sample, len(other.draws)):
            raise ValueError(
                f"scores of {self.sample} and of {other.sample} are not of the same rows, so they cannot be compared draw by draw"
            )
        return other.draws


def verdict(difference: Score, margin: float = MARGIN) -> str:
    """A difference to a rival in words, at 95 %: better, worse, either of them within the margin, as good, or not told apart.

    Fewer than 20 rows tell nothing: their resamples are too much like each other.
    """
    if difference.num_rows < MIN_ROWS:
        return "not told apart"
    low, high = difference.interval()
    if low > 0:
        return (
            f"better, within {margin:g}" if difference.negated().probability_below(-margin) <= 1 - LEVEL else "better"
        )
    as_good = difference.probability_below(-margin) <= 1 - LEVEL
    if high < 0:
        return f"worse, within {margin:g}" if as_good else "worse"
    return f"as good within {margin:g}" if as_good else "not told apart"


def resample(
    statistics: Mapping[str, Statistic], num_rows: int, sample: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Score]:
    """Score the rows as they are, and as often as asked with rows drawn at random, the same for every statistic and every call.

    Many rows are drawn less often: their intervals are narrow, and 10,000 times a million would take minutes.
    """
    whole = np.ones((1, num_rows))
    draws: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for counts in draw_counts(num_rows, min(resamples, max(_FEWEST_RESAMPLES, _MOST_CELLS // num_rows)), seed):
        for name, statistic in statistics.items():
            draws[name].append(statistic(counts))
    return {
        name: Score(float(statistic(whole)[0]), np.concatenate(draws[name]), sample, num_rows)
        for name, statistic in statistics.items()
    }


def draw_counts(num_rows: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each row is drawn in each resample, some resamples at a time. *Shape:* (some, rows)"""
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS // num_rows)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = rng.integers(num_rows, size=(size, num_rows), dtype=np.int64)
        drawn += np.arange(size)[:, None] * num_rows
        yield np.bincount(drawn.ravel(), minlength=size * num_rows).reshape(size, num_rows).astype(np.float64)


def mean_of(values: NDArray[np.float64]) -> Statistic:
    """The mean of a number that each row has. *Shape:* (rows,)"""

    def mean(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = counts @ values / counts.sum(axis=1)
        return found

    return mean


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
        return (
            float(student.cdf((bound - self.mean) / self.error, self.freedom))
            if self.error
            else float(self.mean < bound)
        )


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
    return OverSeeds(
        mean,
        float(values.std(ddof=1)),
        mean - width,
        mean + width,
        tuple(map(float, values)),
        variance**0.5,
        float(freedom),
    )
