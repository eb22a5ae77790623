"""Intervals for a correlation, by resampling pairs (Efron's percentile bootstrap)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 100  # resamples ranked at once: a few MB at STSb's size


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and the ends of its 95 % interval, each -1 to 1."""

    value: float
    low: float
    high: float


def correlate(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of each row. NaN where a row is constant. *Shapes:* (rows, pairs) twice -> (rows,)"""
    constant = (np.ptp(left, axis=-1) == 0) | (np.ptp(right, axis=-1) == 0)
    left = left - left.mean(axis=-1, keepdims=True)
    right = right - right.mean(axis=-1, keepdims=True)
    norms = np.sqrt((left * left).sum(axis=-1) * (right * right).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: NDArray[np.float64] = (left * right).sum(axis=-1) / norms
    result[constant] = np.nan  # a mean may be rounded, so that the differences are not quite 0
    return result


def spearman(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank correlation of each row, ties at their mean rank. *Shapes:* (rows, pairs) twice -> (rows,)"""
    return correlate(rankdata(left, axis=-1), rankdata(right, axis=-1))


def bootstrap_spearman(
    predicted: NDArray[np.float64], gold: NDArray[np.float64], *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Spearman of predicted against gold similarity with its interval over resampled pairs. *Shapes:* (pairs,) twice"""
    rng = np.random.default_rng(seed)
    drawn: list[NDArray[np.float64]] = []
    for start in range(0, resamples, _CHUNK):
        pairs = rng.integers(len(gold), size=(min(_CHUNK, resamples - start), len(gold)))
        drawn.append(spearman(predicted[pairs], gold[pairs]))
    # A resample of a small set can be constant; it says nothing about the correlation.
    low, high = np.nanquantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(spearman(predicted[None], gold[None])[0]), float(low), float(high))
