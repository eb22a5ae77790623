"""What each phase minimises, computed on embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, MultipleNegativesRankingLoss
from torch import nn

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class EmbeddingLoss(Protocol):
    """A loss over the embeddings of a batch, one tensor a column. *Shape of each:* (batch, dim)"""

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """Return the mean loss of the batch, a scalar."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """What the loss itself learns."""
        ...


class LibraryLoss:
    """A loss of sentence-transformers, fed with embeddings that are there already."""

    def __init__(self, loss: MultipleNegativesRankingLoss | CosineSimilarityLoss) -> None:
        self._loss = loss

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """See EmbeddingLoss."""
        value: torch.Tensor = self._loss.compute_loss_from_embeddings(embeddings, labels)
        return value

    def parameters(self) -> list[nn.Parameter]:
        """None of its own."""
        return []


class PairClassifierLoss:
    """SoftmaxLoss: a 3-way classifier on (u, v, |u - v|), dropped after the phase (SBERT, arXiv 1908.10084)."""

    def __init__(self, dimension: int, device: torch.device) -> None:
        self._classifier = nn.Linear(3 * dimension, 3, device=device)

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """See EmbeddingLoss; labels are classes 0, 1, 2."""
        if labels is None:
            raise ValueError("PairClassifierLoss needs the class of each pair")
        left, right = embeddings
        return nn.functional.cross_entropy(self._classifier(torch.cat([left, right, (left - right).abs()], dim=1)), labels)

    def parameters(self) -> list[nn.Parameter]:
        """The classifier's weights."""
        return list(self._classifier.parameters())


def ranking_loss(model: SentenceTransformer, scale: float) -> EmbeddingLoss:
    """MultipleNegativesRankingLoss over (anchor, entailment, contradiction)."""
    return LibraryLoss(MultipleNegativesRankingLoss(model, scale=scale))


def cosine_loss(model: SentenceTransformer) -> EmbeddingLoss:
    """Mean squared error between cosine similarity and a score of 0 to 1."""
    return LibraryLoss(CosineSimilarityLoss(model))
