"""Macro-F1 of rows that were drawn so and so often, from how often each pair of true and predicted class was drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ResampledMacroF1:
    """The mean F1 of the classes that a resample's rows have or were given; a class that is never right has 0."""

    def __init__(self, predicted: NDArray[np.int64], gold: NDArray[np.int64]) -> None:
        """Sort the rows by their pair of classes. *Shapes:* (rows,) twice"""
        num_classes = int(max(predicted.max(), gold.max())) + 1
        pairs, pair = np.unique(predicted * num_classes + gold, return_inverse=True)
        classes = np.arange(num_classes)
        given, true = (side[:, None] == classes for side in np.divmod(pairs, num_classes))
        self._pair_of_row = csr_array((np.ones(len(pair)), pair, np.arange(len(pair) + 1)), shape=(len(pair), len(pairs)))
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
