"""The loss of contrastive training, computed on vectors without training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCALE = 20.0
BATCH = 64


def ranking_loss_of(anchors: NDArray[np.float32], entailments: NDArray[np.float32]) -> float:
    """MultipleNegativesRankingLoss, mean over the pairs: how hard it is to find each anchor's own entailment among its batch's.

    The batches are 64 neighbours each, in the order given. *Shapes:* (pairs, dim) twice
    """
    left, right = (torch.nn.functional.normalize(torch.from_numpy(side).double(), dim=1) for side in (anchors, entailments))
    total = 0.0
    for start in range(0, len(left), BATCH):
        scores = SCALE * left[start : start + BATCH] @ right[start : start + BATCH].T
        total += float(torch.nn.functional.cross_entropy(scores, torch.arange(len(scores)), reduction="sum"))
    return total / len(left)
