"""Pearson and Spearman correlations, of all pairs and of bootstrap resamples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from sbert_prune.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def correlate(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Pearson correlation of each row, NaN where it is constant. *Shapes:* (rows, pairs) twice -> (rows,)"""
    constant = (np.ptp(left, axis=-1) == 0) | (np.ptp(right, axis=-1) == 0)
    left = left - left.mean(axis=-1, keepdims=True)
    right = right - right.mean(axis=-1, keepdims=True)
    norms = np.sqrt((left * left).sum(axis=-1) * (right * right).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: NDArray[np.float64] = (left * right).sum(axis=-1) / norms
    result[constant] = np.nan  # a rounded mean can leave differences that are not quite 0
    return result


def spearman(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank correlation of each row, ties at their mean rank. *Shapes:* (rows, pairs) twice -> (rows,)"""
    return correlate(rankdata(left, axis=-1), rankdata(right, axis=-1))


class ResampledSpearman:
    """Spearman of resampled pairs. Ranks come from running sums of the counts, so the pairs are sorted only once."""

    def __init__(self, predicted: NDArray[np.float64], gold: NDArray[np.float64]) -> None:
        """Sort the pairs once. *Shapes:* (pairs,) twice

        Raises DataError for numbers that are not finite, and for empty arrays.
        """
        _check(predicted, gold)
        order = np.argsort(predicted, kind="stable")
        self._predicted = _Groups.of(predicted[order])
        gold_order = np.argsort(gold, kind="stable")
        self._gold = _Groups.of(gold[gold_order])
        self._order, self._gold_order = order, gold_order
        groups = np.empty(len(gold), dtype=np.intp)
        groups[gold_order] = self._gold.group
        self._gold_group = groups[order]  # of the pairs in the order of the predictions

    def __call__(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Spearman of each resample, NaN where it is constant. *Shapes:* (resamples, pairs) -> (resamples,)"""
        drawn = counts.take(self._order, axis=1)
        rank, square = self._predicted.ranks(drawn)
        gold_rank, gold_square = self._gold.ranks(counts.take(self._gold_order, axis=1))
        rank = rank if self._predicted.all_differ else rank.take(self._predicted.group, axis=1)
        products = np.einsum("ij,ij,ij->i", drawn, rank, gold_rank.take(self._gold_group, axis=1))
        return _ratio(products, square, gold_square, (_ZERO, _ZERO))


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Groups of equal numbers in a sorted array. group: group index of each number.  ends: last index of each group."""

    group: NDArray[np.intp]
    ends: NDArray[np.intp]

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> _Groups:
        changes = np.flatnonzero(np.diff(numbers) != 0)
        group = np.zeros(len(numbers), dtype=np.intp)
        group[changes + 1] = 1
        return cls(np.cumsum(group), np.append(changes, len(numbers) - 1))

    @property
    def all_differ(self) -> bool:
        return len(self.ends) == len(self.group)

    def ranks(self, drawn: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the centred mean rank of each group, and the sum of squares over all drawn pairs.

        *Shapes:* (resamples, groups) and (resamples,)
        """
        ends = np.cumsum(drawn, axis=1)
        if self.all_differ:
            sizes = drawn
        else:
            ends = ends[:, self.ends]
            sizes = np.diff(ends, axis=1, prepend=0.0)
        ranks = ends - sizes / 2 - ends[:, -1:] / 2
        return ranks, np.einsum("ij,ij,ij->i", sizes, ranks, ranks)


class ResampledPearson:
    """Pearson correlation of resampled pairs, computed from sums over the pairs."""

    def __init__(self, predicted: NDArray[np.float64], gold: NDArray[np.float64]) -> None:
        """Compute the terms of the sums. *Shapes:* (pairs,) twice

        Raises DataError for numbers that are not finite, and for empty arrays.
        """
        _check(predicted, gold)
        # Centred, so that the sums of squares keep their precision.
        x, y = predicted - predicted.mean(), gold - gold.mean()
        self._terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
        self._zero = (_ZERO * float(x @ x), _ZERO * float(y @ y))

    def __call__(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Pearson of each resample, NaN where it is constant. *Shapes:* (resamples, pairs) -> (resamples,)"""
        num, x, y, xx, yy, xy = (counts @ self._terms).T
        return _ratio(xy - x * y / num, xx - x * x / num, yy - y * y / num, self._zero)


def _check(predicted: NDArray[np.float64], gold: NDArray[np.float64]) -> None:
    """Reject NaN and infinity: sorting would give a NaN a rank like any other number."""
    if predicted.shape != gold.shape or not len(gold):
        raise DataError(
            f"{len(predicted)} similarities and {len(gold)} scores cannot be correlated; "
            "expected as many of both, and one or more."
        )
    for name, numbers in (("similarities", predicted), ("scores", gold)):
        if wrong := int((~np.isfinite(numbers)).sum()):
            raise DataError(
                f"{wrong} of {len(numbers)} {name} are not finite, so they cannot be ranked. Check what computed them."
            )


_ZERO = 1e-12  # relative to the variance of all pairs: smaller is rounding (ranks have 0 or more than 0.5)


def _ratio(
    products: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64], zero: tuple[float, float]
) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = products / np.sqrt(left * right)
    ratios[(left <= zero[0]) | (right <= zero[1])] = np.nan
    return np.clip(ratios, -1.0, 1.0)
