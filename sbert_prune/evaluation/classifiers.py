"""Classes told by a logistic regression on standardised embeddings, as SentEval does (Conneau and Kiela 2018, arXiv 1803.05449)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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


def predict_logistic(train: tuple[NDArray[np.float32], NDArray[np.int64]], test: NDArray[np.float32], c: float) -> NDArray[np.int64]:
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
