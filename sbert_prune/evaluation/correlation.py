"""Correlations of rows of numbers, whole or resampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from sbert_prune.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


class ResampledSpearman:
    """Spearman of pairs that were drawn so and so often. Ranks come from running sums of the draws, so nothing is sorted again."""

    def __init__(self, predicted: NDArray[np.float64], gold: NDArray[np.float64]) -> None:
        """Sort the pairs once. *Shapes:* (pairs,) twice

        Raises DataError for numbers that are not finite, and for no pair at all.
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
        """Spearman of each resample; NaN where it is constant. *Shapes:* (resamples, pairs) -> (resamples,)"""
        drawn = counts[:, self._order]
        rank, square = self._predicted.ranks(drawn)
        gold_rank, gold_square = self._gold.ranks(counts[:, self._gold_order])
        rank = rank if self._predicted.all_differ else rank[:, self._predicted.group]
        products = np.einsum("ij,ij,ij->i", drawn, rank, gold_rank[:, self._gold_group])
        return _ratio(products, square, gold_square, (_NOTHING, _NOTHING))


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Equal numbers in a sorted row. group: of each number.  ends: where each group ends."""

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
        """Each group's mean rank less the mean of all, and the sum of their squares over all draws.

        *Shapes:* (resamples, groups) and (resamples,)
        """
        ends = np.cumsum(drawn, axis=1)
        if not self.all_differ:
            ends = ends[:, self.ends]
        sizes = np.diff(ends, axis=1, prepend=0.0)
        ranks = ends - sizes / 2 - ends[:, -1:] / 2
        return ranks, np.einsum("ij,ij,ij->i", sizes, ranks, ranks)


class ResampledPearson:
    """Pearson correlation of pairs that were drawn so and so often, from the sums that it is made of."""

    def __init__(self, predicted: NDArray[np.float64], gold: NDArray[np.float64]) -> None:
        """Take the pairs. *Shapes:* (pairs,) twice

        Raises DataError for numbers that are not finite, and for no pair at all.
        """
        _check(predicted, gold)
        x, y = predicted - predicted.mean(), gold - gold.mean()  # near 0, so that the sums of squares keep their digits
        self._terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
        self._nothing = (_NOTHING * float(x @ x), _NOTHING * float(y @ y))

    def __call__(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pearson of each resample; NaN where it is constant. *Shapes:* (resamples, pairs) -> (resamples,)"""
        num, x, y, xx, yy, xy = (counts @ self._terms).T
        return _ratio(xy - x * y / num, xx - x * x / num, yy - y * y / num, self._nothing)


def _check(predicted: NDArray[np.float64], gold: NDArray[np.float64]) -> None:
    """Sorting would give a NaN a rank like any other number."""
    if predicted.shape != gold.shape or not len(gold):
        raise DataError(
            f"{len(predicted)} similarities and {len(gold)} scores cannot be correlated; expected as many of both, and one or more."
        )
    for name, numbers in (("similarities", predicted), ("scores", gold)):
        if wrong := int((~np.isfinite(numbers)).sum()):
            raise DataError(
                f"{wrong} of {len(numbers)} {name} are not finite, so they cannot be ranked. RungScore at what computed them."
            )


_NOTHING = 1e-12  # of the variance of all pairs: what rounding leaves of 0; ranks have none or more than a half


def _ratio(
    products: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64], nothing: tuple[float, float]
) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        found = products / np.sqrt(left * right)
    found[(left <= nothing[0]) | (right <= nothing[1])] = np.nan
    return np.clip(found, -1.0, 1.0)
