"""How alike two sets of vectors of the same sentences are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbert_prune.layer_analysis.profile import LayerProfile

_CONSTANT = 1e-6  # of a feature's size: what is left of a constant one after centring, by rounding


def linear_cka(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Linear CKA, 0 to 1; rotating, moving or scaling either side changes nothing (Kornblith et al. 2019, arXiv 1905.00414).

    The feature-space form, whose cost grows with dim squared and not with the number of sentences squared.
    A side that is the same for every sentence (CLS embeddings, say) tells nothing: 1 if both are so, else 0.
    *Shapes:* (sentences, dim) and (sentences, other dim)
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
    """arccos(cos) / pi, mean over the sentences: 0 for the same direction, 1 for opposite ones. *Shapes:* (sentences, dim) twice"""
    x, y = _unit(left), _unit(right)
    half = np.arctan2(
        np.linalg.norm(x - y, axis=1), np.linalg.norm(x + y, axis=1)
    )  # arccos loses small angles to rounding
    return float((2 * half / np.pi).mean())


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    unit: NDArray[np.float64] = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    return unit


def layer_similarity(profile: LayerProfile) -> NDArray[np.float64]:
    """Linear CKA between the sentence vectors at all depths, index 0 the embeddings. *Shape:* (depth + 1, depth + 1)"""
    num_depths = len(profile.vectors)
    matrix = np.ones((num_depths, num_depths))
    for row in range(num_depths):
        for column in range(row):
            matrix[row, column] = matrix[column, row] = linear_cka(profile.vectors[row], profile.vectors[column])
    return matrix


SCALE = 20.0
BATCH = 64


def ranking_loss_of(anchors: NDArray[np.float32], entailments: NDArray[np.float32]) -> float:
    """MultipleNegativesRankingLoss, mean over the pairs: how hard it is to find each anchor's own entailment among its batch's.

    The batches are 64 neighbours each, in the order given. *Shapes:* (pairs, dim) twice
    """
    left, right = (
        torch.nn.functional.normalize(torch.from_numpy(side).double(), dim=1) for side in (anchors, entailments)
    )
    total = 0.0
    for start in range(0, len(left), BATCH):
        scores = SCALE * left[start : start + BATCH] @ right[start : start + BATCH].T
        total += float(torch.nn.functional.cross_entropy(scores, torch.arange(len(scores)), reduction="sum"))
    return total / len(left)
