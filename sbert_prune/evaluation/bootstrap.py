"""Confidence intervals of scores: the paired bootstrap (Efron 1979; Berg-Kirkpatrick et al. 2012); means over seeds.

A statistic computes the score of each resample from how often each row was drawn. The same seed draws the same rows for
every model, so the scores of two models are compared resample by resample.
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
    """Computes the score of each resample from how often each row was drawn.

    *Shapes:* (resamples, rows) -> (resamples,)
    """

RESAMPLES = 10_000
LEVEL = 0.95
MARGIN = 0.01
"""Two scores that differ by at most one point count as equally good."""

_CELLS = 1 << 18  # size of a chunk of counts: 2 MB, which fits into the cache of a core
_MOST_CELLS = 400_000_000
_FEWEST_RESAMPLES = 1000
MIN_ROWS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A score and its values on resamples of its rows.

    Attributes:
        value: The score of the rows themselves.
        draws: The score of each resample; NaN where it has none (all its pairs are equal, for example). *Shape:*
            (resamples,)
        sample: Identifies the rows; only scores of the same sample can be compared resample by resample.
        num_rows: Number of rows.
    """

    value: float
    draws: NDArray[np.float64]
    sample: str
    num_rows: int

    @property
    def low(self) -> float:
        """Return the lower end of the 95 % interval."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """Return the upper end of the 95 % interval."""
        return self.interval()[1]

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the percentile interval, widened to include the value itself. NaN where no resample has a score."""
        if np.isnan(self.draws).all():
            return float("nan"), float("nan")
        low, high = np.nanquantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return min(float(low), self.value), max(float(high), self.value)

    def minus(self, other: Score) -> Score:
        """Return the difference to another model on the same rows. Raises ValueError for different rows."""
        return Score(self.value - other.value, self.draws - self._paired(other), self.sample, self.num_rows)

    def negated(self) -> Score:
        """Return the score with the opposite sign."""
        return Score(-self.value, -self.draws, self.sample, self.num_rows)

    def over(self, other: Score) -> Score:
        """Return the ratio to another model's score on the same rows. Raises ValueError for different rows."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return Score(self.value / other.value, self.draws / self._paired(other), self.sample, self.num_rows)

    def probability_below(self, bound: float) -> float:
        """Return the share of resamples with a score below a bound, 0 to 1."""
        known = self.draws[~np.isnan(self.draws)]
        return float((known < bound).mean()) if len(known) else float("nan")

    def _paired(self, other: Score) -> NDArray[np.float64]:
        if (self.sample, len(self.draws)) != (other.sample, len(other.draws)):
            raise ValueError(
                f"scores of {self.sample} and of {other.sample} are not of the same rows, "
                "so they cannot be compared draw by draw"
            )
        return other.draws


def verdict(difference: Score, margin: float = MARGIN) -> str:
    """Describe a difference to a rival at 95 %: better or worse (within the margin or not), as good, or not told apart.

    With fewer than 20 rows the verdict is always "not told apart": their resamples are too similar to each other.
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
    statistics: Mapping[str, Statistic],
    num_rows: int,
    sample: str,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    most_cells: int = _MOST_CELLS,
) -> dict[str, Score]:
    """Compute statistics of the rows and of random resamples.

    The resamples are the same for every statistic and every call.

    Large data sets get fewer resamples, so that resamples times rows stay below `most_cells`: their intervals are
    narrow, and 10,000 resamples of a million rows would take minutes.
    """
    whole = np.ones((1, num_rows))
    draws: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for counts in draw_counts(num_rows, min(resamples, max(_FEWEST_RESAMPLES, most_cells // num_rows)), seed):
        for name, statistic in statistics.items():
            draws[name].append(statistic(counts))
    return {
        name: Score(float(statistic(whole)[0]), np.concatenate(draws[name]), sample, num_rows)
        for name, statistic in statistics.items()
    }


def draw_counts(num_rows: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each row is drawn in each resample, in chunks of resamples. *Shape:* (chunk, rows)"""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // num_rows)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        rows = rng.integers(num_rows, size=(size, num_rows), dtype=np.int64)
        rows += np.arange(size)[:, None] * num_rows
        yield np.bincount(rows.ravel(), minlength=size * num_rows).reshape(size, num_rows).astype(np.float64)


def mean_of(values: NDArray[np.float64]) -> Statistic:
    """Return the statistic that is the mean of one number per row. *Shape:* (rows,)"""

    def mean(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        means: NDArray[np.float64] = counts @ values / counts.sum(axis=1)
        return means

    return mean


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """The mean of a score over seeds.

    Attributes:
        mean: Mean over the seeds.
        deviation: Standard deviation between seeds (divided by n - 1).
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        values: Score of each seed.
        error: Standard error of the mean, from pairs and seeds together.
        freedom: Degrees of freedom of Student's t.
    """

    mean: float
    deviation: float
    low: float
    high: float
    values: tuple[float, ...]
    error: float
    freedom: float

    def probability_below(self, bound: float) -> float:
        """Return the probability that the mean over all seeds and pairs is below a bound, 0 to 1."""
        return (
            float(student.cdf((bound - self.mean) / self.error, self.freedom))
            if self.error
            else float(self.mean < bound)
        )


def over_seeds(scores: Sequence[Score], level: float = LEVEL) -> OverSeeds:
    """Return the mean over seeds of scores of the same rows.

    The interval adds the variance of the pairs to that of the seeds. The variance of two or three seeds is itself
    uncertain. Student's t accounts for that, with the effective degrees of freedom of the two variances combined
    (Satterthwaite 1946).

    Args:
        scores: One score per seed.
        level: Coverage of the interval, 0 to 1.

    Raises:
        ValueError: There are fewer than two scores, or they are of different rows.
    """
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} seeds are too few to estimate their spread; give two or more")
    if len({(score.sample, len(score.draws)) for score in scores}) > 1:
        raise ValueError("the scores are not of the same rows")
    values = np.array([score.value for score in scores])
    pair_variance = float(np.nanvar(np.mean([score.draws for score in scores], axis=0), ddof=1))
    seed_variance = float(values.var(ddof=1)) / len(values)
    variance = pair_variance + seed_variance
    freedom = variance**2 / (seed_variance**2 / (len(values) - 1)) if seed_variance > 0 else np.inf
    width = float(student.ppf((1 + level) / 2, freedom)) * variance**0.5
    mean, deviation, error = float(values.mean()), float(values.std(ddof=1)), variance**0.5
    return OverSeeds(mean, deviation, mean - width, mean + width, tuple(values.tolist()), error, float(freedom))
