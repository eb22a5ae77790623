"""Classifiers on frozen embeddings: logistic regression and k nearest neighbours, with the resampled macro-F1.

The regression works on standardised embeddings, as in SentEval (Conneau and Kiela 2018, arXiv 1803.05449).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRENGTHS = tuple(round(10 ** (half / 2), 6) for half in range(-8, 0))
"""The candidate values of C, from the strongest regularisation to the weakest: 0.0001 to 0.3."""

DEFAULT_C = 0.01

_CONSTANT = 1e-6  # relative to the largest deviation: smaller variation is only rounding
_MOST_STEPS = 5000
_TOLERANCE = 1e-4  # the largest gradient at which a fit stops
_TOLERANCE_TO_CHOOSE = 1e-3  # chooses the same C in almost all cases, in half the time


def choose_c(vectors: NDArray[np.float32], labels: NDArray[np.int64], held_out: NDArray[np.bool_]) -> float:
    """Return the C with the best accuracy on the held-out rows; the smallest one among equals.

    Each fit starts from the solution of the previous one, so the whole series is cheap. No candidate is skipped: the
    first ones often predict only the largest class and are equally good, so the search must not stop there.

    Args:
        vectors: *Shape:* (rows, dim)
        labels: *Shape:* (rows,)
        held_out: Rows to score; the others are trained on. *Shape:* (rows,)
    """
    if not held_out.any() or len(np.unique(labels[~held_out])) < 2:
        return DEFAULT_C
    scale = _Scale(vectors[~held_out])
    train, test = scale(vectors[~held_out]), scale(vectors[held_out])
    model = _regression(warm_start=True, tol=_TOLERANCE_TO_CHOOSE)
    best_c, best_correct = DEFAULT_C, -1
    for c in STRENGTHS:
        model.set_params(C=c).fit(train, labels[~held_out])
        correct = int((model.predict(test) == labels[held_out]).sum())
        if correct > best_correct:
            best_c, best_correct = c, correct
    return best_c


def predict_logistic(
    train: tuple[NDArray[np.float32], NDArray[np.int64]], test: NDArray[np.float32], c: float
) -> NDArray[np.int64]:
    """Predict the class of each test row. *Shapes:* train (rows, dim) and (rows,), test (test, dim) -> (test,)"""
    vectors, labels = train
    if (labels == labels[0]).all():
        return np.full(len(test), labels[0])
    scale = _Scale(vectors)
    classes: NDArray[np.int64] = _regression().set_params(C=c).fit(scale(vectors), labels).predict(scale(test))
    return classes


class _Scale:
    """Standardises vectors: the dimensions of the fitted vectors get mean 0 and deviation 1."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = vectors.std(axis=0, dtype=np.float64)
        deviation[deviation <= _CONSTANT * deviation.max()] = np.inf  # constant dimensions become 0
        self._factor = (1 / deviation).astype(np.float32)

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = vectors - self._mean
        scaled *= self._factor
        return scaled


def _regression(*, warm_start: bool = False, tol: float = _TOLERANCE) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=_MOST_STEPS, warm_start=warm_start, tol=tol)


class ResampledMacroF1:
    """The mean F1 over the classes that a resample contains as gold or predicted; a class with no hit counts 0."""

    def __init__(self, predicted: NDArray[np.int64], gold: NDArray[np.int64]) -> None:
        """Group the rows by their pair of predicted and gold class. *Shapes:* (rows,) twice"""
        num_classes = int(max(predicted.max(), gold.max())) + 1
        pairs, pair = np.unique(predicted * num_classes + gold, return_inverse=True)
        classes = np.arange(num_classes)
        is_predicted, is_gold = (side[:, None] == classes for side in np.divmod(pairs, num_classes))
        self._pair_of_row = csr_array(
            (np.ones(len(pair)), pair, np.arange(len(pair) + 1)), shape=(len(pair), len(pairs))
        )
        self._hits = (is_predicted & is_gold).astype(np.float64)
        self._members = is_predicted.astype(np.float64) + is_gold

    def __call__(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the macro-F1 of each resample. *Shapes:* (resamples, rows) -> (resamples,)"""
        drawn = counts @ self._pair_of_row
        members = drawn @ self._members
        present = members > 0
        f1 = 2 * (drawn @ self._hits) / np.where(present, members, 1.0)
        macro_f1: NDArray[np.float64] = f1.sum(axis=1) / present.sum(axis=1)
        return macro_f1


NUMBERS = (1, 3, 5, 7, 9, 11, 15, 21, 31)
"""The candidate values of k."""

_QUERIES_AT_ONCE, _REFERENCES_AT_ONCE = 512, 8192  # 16 MB of cosines
_TIE = 1 / (4 * max(NUMBERS))  # the cosines of all neighbours together weigh less than one vote


def choose_k(unit: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int) -> int:
    """Return the k with the best leave-one-out accuracy; the smallest one among equals.

    Args:
        unit: Vectors of length 1. *Shape:* (rows, dim)
        labels: *Shape:* (rows,)
        num_classes: Number of classes.
    """
    candidates = [k for k in NUMBERS if k < len(unit)]
    if not candidates:
        return 1
    cosines, indices = nearest(unit, unit, candidates[-1], leave_one_out=True)
    correct = {k: int((_vote(cosines[:, :k], labels[indices[:, :k]], num_classes) == labels).sum()) for k in candidates}
    return max(candidates, key=lambda k: correct[k])


def predict_neighbours(
    train: tuple[NDArray[np.float32], NDArray[np.int64]], test: NDArray[np.float32], k: int, num_classes: int
) -> NDArray[np.int64]:
    """Predict the majority class of the k nearest train rows; on a tie, the class with the nearer rows.

    Args:
        train: Vectors of length 1 with their classes. *Shapes:* (rows, dim), (rows,)
        test: Vectors of length 1. *Shape:* (test, dim)
        k: Number of neighbours.
        num_classes: Number of classes.

    Returns:
        The predicted classes. *Shape:* (test,)
    """
    unit, labels = train
    cosines, indices = nearest(test, unit, min(k, len(unit)))
    return _vote(cosines, labels[indices], num_classes)


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
        num: Number of references to find for each query.
        leave_one_out: The queries are the references, and no query is its own neighbour.
        queries_at_once: Number of queries per block.
        references_at_once: Number of references per block.

    Returns:
        The cosines and indices of the nearest references, nearest first. *Shapes:* (queries, num) twice
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
    return np.concatenate([cosines for cosines, _ in blocks]), np.concatenate([indices for _, indices in blocks])


def _nearest_of_some(
    queries: NDArray[np.float32], references: NDArray[np.float32], num: int, *, itself: int | None, at_once: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the nearest references of a block of queries. itself: index of the first query among the references."""
    best_cosines = np.empty((len(queries), 0), dtype=np.float32)
    indices = np.empty((len(queries), 0), dtype=np.int64)
    for first in range(0, len(references), at_once):
        cosines = queries @ references[first : first + at_once].T
        if itself is not None:
            columns = np.arange(itself, itself + len(queries)) - first
            inside = (columns >= 0) & (columns < cosines.shape[1])
            cosines[np.flatnonzero(inside), columns[inside]] = -np.inf
        highest = _highest(cosines, num)
        best_cosines = np.concatenate([best_cosines, np.take_along_axis(cosines, highest, axis=1)], axis=1)
        indices = np.concatenate([indices, highest + first], axis=1)
        if first:
            highest = _highest(best_cosines, num)
            best_cosines, indices = (
                np.take_along_axis(best_cosines, highest, axis=1),
                np.take_along_axis(indices, highest, axis=1),
            )
    order = np.argsort(-best_cosines, axis=1, kind="stable")
    return np.take_along_axis(best_cosines, order, axis=1), np.take_along_axis(indices, order, axis=1)


def _highest(cosines: NDArray[np.float32], num: int) -> NDArray[np.int64]:
    """Return the columns of the highest cosines of each row, ascending."""
    if cosines.shape[1] <= num:
        return np.tile(np.arange(cosines.shape[1]), (len(cosines), 1))
    return np.sort(np.argpartition(cosines, -num, axis=1)[:, -num:], axis=1)


def _vote(cosines: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Return the winning class of each query. *Shapes:* (queries, k) twice -> (queries,)"""
    cells = labels + np.arange(len(labels))[:, None] * num_classes
    weights = 1 + _TIE * cosines.astype(np.float64)
    votes = np.bincount(cells.ravel(), weights.ravel(), minlength=len(labels) * num_classes)
    classes: NDArray[np.int64] = votes.reshape(len(labels), num_classes).argmax(axis=1)
    return classes
