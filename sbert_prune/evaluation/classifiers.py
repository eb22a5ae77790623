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
    scaler = _fitted_scaler(vectors[~held_out])
    train, test = scaler.transform(vectors[~held_out]), scaler.transform(vectors[held_out])
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
    scaler = _fitted_scaler(vectors)
    model = _regression().set_params(C=c).fit(scaler.transform(vectors), labels)
    classes: NDArray[np.int64] = model.predict(scaler.transform(test))
    return classes


def _fitted_scaler(vectors: NDArray[np.float32]) -> Any:
    """Return a StandardScaler that keeps constant dimensions at 0 instead of blowing up their rounding errors."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(vectors)
    deviation = np.sqrt(scaler.var_)
    scaler.scale_[deviation <= _CONSTANT * deviation.max()] = np.inf
    return scaler


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
    cosines, indices = _nearest(None, unit, candidates[-1])
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
    cosines, indices = _nearest(test, unit, min(k, len(unit)))
    return _vote(cosines, labels[indices], num_classes)


def _nearest(
    queries: NDArray[np.float32] | None, references: NDArray[np.float32], num: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find each query's nearest references, all vectors of length 1.

    Args:
        queries: None for the references themselves, none of which is then its own neighbour. *Shape:* (queries, dim)
        references: *Shape:* (references, dim)
        num: Number of references to find for each query.

    Returns:
        The cosines and indices of the nearest references, nearest first. *Shapes:* (queries, num) twice
    """
    from sklearn.neighbors import NearestNeighbors

    distances, indices = NearestNeighbors(n_neighbors=num, algorithm="brute").fit(references).kneighbors(queries)
    return 1 - distances**2 / 2, indices


def _vote(cosines: NDArray[np.float64], labels: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Return the winning class of each query. *Shapes:* (queries, k) twice -> (queries,)"""
    cells = labels + np.arange(len(labels))[:, None] * num_classes
    weights = 1 + _TIE * cosines
    votes = np.bincount(cells.ravel(), weights.ravel(), minlength=len(labels) * num_classes)
    classes: NDArray[np.int64] = votes.reshape(len(labels), num_classes).argmax(axis=1)
    return classes
