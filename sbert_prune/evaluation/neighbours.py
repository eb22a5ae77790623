"""Classes told by the nearest neighbours by cosine, as the paper's lab judges embeddings; compared block by block, to save memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
            queries[start : start + queries_at_once], references, num, itself=start if leave_one_out else None, at_once=references_at_once
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
