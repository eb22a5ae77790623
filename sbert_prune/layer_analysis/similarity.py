"""Similarity of two sets of vectors of the same sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbert_prune.layer_analysis.profile import LayerProfile

_CONSTANT = 1e-6  # relative to the size of the vectors: rounding left after centring constant ones


def linear_cka(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return linear CKA, 0 to 1, which is invariant to rotation, translation and scaling of either side.

    Kornblith et al. 2019, arXiv 1905.00414, in the feature-space form, whose cost grows with dim squared and not with
    the number of sentences squared. If a side is equal for every sentence (CLS embeddings, for example), the result is
    1 if both are, else 0. *Shapes:* (sentences, dim) and (sentences, other dim)
    """
    x, y = _centre(left), _centre(right)
    if not x.any() or not y.any():
        return float(x.any() == y.any())
    return float(_square(x.T @ y) / np.sqrt(_square(x.T @ x) * _square(y.T @ y)))


def _centre(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    centred: NDArray[np.float64] = exact - exact.mean(axis=0)
    if np.isfinite(centred).all() and np.linalg.norm(centred) <= _CONSTANT * np.linalg.norm(exact):
        return np.zeros_like(centred)
    return centred


def _square(matrix: NDArray[np.float64]) -> float:
    return float(np.square(matrix).sum())


def angular_distance(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return arccos(cos) / pi, mean over the sentences: 0 for equal directions, 1 for opposite ones.

    *Shapes:* (sentences, dim) twice
    """
    x, y = _unit(left), _unit(right)
    half = np.arctan2(np.linalg.norm(x - y, axis=1), np.linalg.norm(x + y, axis=1))  # arccos rounds small angles to 0
    return float((2 * half / np.pi).mean())


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    unit: NDArray[np.float64] = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    return unit


def layer_similarity(profile: LayerProfile) -> NDArray[np.float64]:
    """Return linear CKA between all depths; index 0 is the embeddings. *Shape:* (depth + 1, depth + 1)"""
    num_depths = len(profile.vectors)
    matrix = np.ones((num_depths, num_depths))
    for row in range(num_depths):
        for column in range(row):
            matrix[row, column] = matrix[column, row] = linear_cka(profile.vectors[row], profile.vectors[column])
    return matrix


SCALE = 20.0
BATCH = 64


def ranking_loss_of(anchors: NDArray[np.float32], entailments: NDArray[np.float32]) -> float:
    """Return MultipleNegativesRankingLoss, the cross-entropy of finding each anchor's entailment in its batch.

    It is the mean over the pairs; batches are 64 consecutive pairs. *Shapes:* (pairs, dim) twice
    """
    left, right = (
        torch.nn.functional.normalize(torch.from_numpy(side).double(), dim=1) for side in (anchors, entailments)
    )
    total = 0.0
    for start in range(0, len(left), BATCH):
        scores = SCALE * left[start : start + BATCH] @ right[start : start + BATCH].T
        total += float(torch.nn.functional.cross_entropy(scores, torch.arange(len(scores)), reduction="sum"))
    return total / len(left)
