"""Classes told by a logistic regression on standardised embeddings, as SentEval does (Conneau and Kiela 2018, arXiv 1803.05449)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRENGTHS = tuple(round(10 ** (half / 2), 6) for half in range(-8, 0))
"""The values of C that are tried, from the strongest regularisation to the weakest: 0.0001 to 0.3."""

DEFAULT_C = 0.01

_CONSTANT = 1e-6  # of the largest deviation: a dimension that varies less holds nothing but rounding
_MOST_STEPS = 5000
_CLOSE = 1e-4  # the largest slope where a fit ends
_CLOSE_TO_CHOOSE = 1e-3  # the same C's are chosen, but for few, in half the time


def choose_c(vectors: NDArray[np.float32], labels: NDArray[np.int64], held_out: NDArray[np.bool_]) -> float:
    """The C that, learned from the other rows, tells most of the held-out ones; the smallest of equal ones.

    Each fit begins where the one before ended, which makes all of them cheap. None is left out: the first often predict the largest
    class alone, and are equally good. *Shapes:* (rows, dim), (rows,) twice
    """
    if not held_out.any() or len(np.unique(labels[~held_out])) < 2:
        return DEFAULT_C
    scale = _Scale(vectors[~held_out])
    learned, judged = scale(vectors[~held_out]), scale(vectors[held_out])
    model = _regression(warm_start=True, tol=_CLOSE_TO_CHOOSE)
    best_c, most = DEFAULT_C, -1
    for c in STRENGTHS:
        model.set_params(C=c).fit(learned, labels[~held_out])
        correct = int((model.predict(judged) == labels[held_out]).sum())
        if correct > most:
            best_c, most = c, correct
    return best_c


def predict_logistic(
    train: tuple[NDArray[np.float32], NDArray[np.int64]], test: NDArray[np.float32], c: float
) -> NDArray[np.int64]:
    """The class of each test row. train: vectors with their classes. *Shapes:* (rows, dim), (rows,), (test, dim) -> (test,)"""
    vectors, labels = train
    if (labels == labels[0]).all():
        return np.full(len(test), labels[0])
    scale = _Scale(vectors)
    found: NDArray[np.int64] = _regression().set_params(C=c).fit(scale(vectors), labels).predict(scale(test))
    return found


class _Scale:
    """Makes every dimension of some vectors have mean 0 and deviation 1, and others likewise."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = vectors.std(axis=0, dtype=np.float64)
        deviation[deviation <= _CONSTANT * deviation.max()] = np.inf  # what says nothing becomes 0
        self._factor = (1 / deviation).astype(np.float32)

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = vectors - self._mean
        scaled *= self._factor
        return scaled


def _regression(*, warm_start: bool = False, tol: float = _CLOSE) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=_MOST_STEPS, warm_start=warm_start, tol=tol)


class ResampledMacroF1:
    """The mean F1 of the classes that a resample's rows have or were given; a class that is never right has 0."""

    def __init__(self, predicted: NDArray[np.int64], gold: NDArray[np.int64]) -> None:
        """Sort the rows by their pair of classes. *Shapes:* (rows,) twice"""
        num_classes = int(max(predicted.max(), gold.max())) + 1
        pairs, pair = np.unique(predicted * num_classes + gold, return_inverse=True)
        classes = np.arange(num_classes)
        given, true = (side[:, None] == classes for side in np.divmod(pairs, num_classes))
        self._pair_of_row = csr_array(
            (np.ones(len(pair)), pair, np.arange(len(pair) + 1)), shape=(len(pair), len(pairs))
        )
        self._hits = (given & true).astype(np.float64)
        self._members = given.astype(np.float64) + true

    def __call__(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """*Shapes:* (resamples, rows) -> (resamples,)"""
        drawn = counts @ self._pair_of_row
        members = drawn @ self._members
        present = members > 0
        f1 = 2 * (drawn @ self._hits) / np.where(present, members, 1.0)
        found: NDArray[np.float64] = f1.sum(axis=1) / present.sum(axis=1)
        return found


NUMBERS = (1, 3, 5, 7, 9, 11, 15, 21, 31)
"""The k that are tried."""

_QUERIES_AT_ONCE, _REFERENCES_AT_ONCE = 512, 8192  # 16 MB of cosines
_TIE = 1 / (4 * max(NUMBERS))  # so small that the cosines of all neighbours together weigh less than one vote


def choose_k(unit: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int) -> int:
    """The k with the best accuracy where each row is told by all others; the smallest of equal ones.

    unit: vectors of length 1. *Shapes:* (rows, dim), (rows,)
    """
    able = [k for k in NUMBERS if k < len(unit)]
    if not able:
        return 1
    cosines, places = nearest(unit, unit, able[-1], leave_one_out=True)
    correct = {k: int((_vote(cosines[:, :k], labels[places[:, :k]], num_classes) == labels).sum()) for k in able}
    return max(able, key=lambda k: correct[k])


def predict_neighbours(
    train: tuple[NDArray[np.float32], NDArray[np.int64]], test: NDArray[np.float32], k: int, num_classes: int
) -> NDArray[np.int64]:
    """The class that most of the k nearest train rows have; of equal ones, the one whose rows are nearer. *Shape:* (test,)

    train: vectors of length 1 with their classes. *Shapes:* (rows, dim), (rows,)
    """
    unit, labels = train
    cosines, places = nearest(test, unit, min(k, len(unit)))
    return _vote(cosines, labels[places], num_classes)


def nearest(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    num: int,
    *,
    leave_one_out: bool = False,
    queries_at_once: int = _QUERIES_AT_ONCE,
    references_at_once: int = _REFERENCES_AT_ONCE,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find each query's nearest references.

    Args:
        queries: Vectors of length 1. *Shape:* (queries, dim)
        references: Vectors of length 1. *Shape:* (references, dim)
        num: How many references to find for each query.
        leave_one_out: The queries are the references, and none is its own neighbour.
        queries_at_once: How many queries are compared at once.
        references_at_once: How many references they are compared with at once.

    Returns:
        The references' cosines and places, the nearest first. *Shapes:* (queries, num) twice
    """
    blocks = [
        _nearest_of_some(
            queries[start : start + queries_at_once],
            references,
            num,
            itself=start if leave_one_out else None,
            at_once=references_at_once,
        )
        for start in range(0, len(queries), queries_at_once)
    ]
    return np.concatenate([cosines for cosines, _ in blocks]), np.concatenate([places for _, places in blocks])


def _nearest_of_some(
    queries: NDArray[np.float32], references: NDArray[np.float32], num: int, *, itself: int | None, at_once: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The same for a few queries, over the references block by block. itself: where the first query stands among them."""
    found = np.empty((len(queries), 0), dtype=np.float32)
    places = np.empty((len(queries), 0), dtype=np.int64)
    for first in range(0, len(references), at_once):
        cosines = queries @ references[first : first + at_once].T
        if itself is not None:
            own = np.arange(itself, itself + len(queries)) - first
            inside = (own >= 0) & (own < cosines.shape[1])
            cosines[np.flatnonzero(inside), own[inside]] = -np.inf
        best = _highest(cosines, num)
        found = np.concatenate([found, np.take_along_axis(cosines, best, axis=1)], axis=1)
        places = np.concatenate([places, best + first], axis=1)
        if first:
            best = _highest(found, num)
            found, places = np.take_along_axis(found, best, axis=1), np.take_along_axis(places, best, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(places, order, axis=1)


def _highest(cosines: NDArray[np.float32], num: int) -> NDArray[np.int64]:
    """Where the highest of each row stand, from left to right."""
    if cosines.shape[1] <= num:
        return np.tile(np.arange(cosines.shape[1]), (len(cosines), 1))
    return np.sort(np.argpartition(cosines, -num, axis=1)[:, -num:], axis=1)


def _vote(cosines: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """*Shapes:* (queries, k) twice -> (queries,)"""
    cells = labels + np.arange(len(labels))[:, None] * num_classes
    weights = 1 + _TIE * cosines.astype(np.float64)
    votes = np.bincount(cells.ravel(), weights.ravel(), minlength=len(labels) * num_classes)
    found: NDArray[np.int64] = votes.reshape(len(labels), num_classes).argmax(axis=1)
    return found
