"""What the labels ask of the embeddings of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from sentence_transformers.sentence_transformer.losses import (
    AnglELoss,
    CoSENTLoss,
    CosineSimilarityLoss,
    MultipleNegativesRankingLoss,
)
from torch import nn

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from sbert_prune.recipe.settings import NliSettings, StsSettings


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

    def __init__(self, loss: MultipleNegativesRankingLoss | CosineSimilarityLoss | CoSENTLoss) -> None:
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
        self._dimension = dimension
        self._classifier = nn.Linear(3 * dimension, 3, device=device)

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """See EmbeddingLoss; labels are classes 0, 1, 2. Embeddings that were cut are filled up with zeros."""
        if labels is None:
            raise ValueError("PairClassifierLoss needs the class of each pair")
        left, right = (nn.functional.pad(column, (0, self._dimension - column.shape[1])) for column in embeddings)
        return nn.functional.cross_entropy(self._classifier(torch.cat([left, right, (left - right).abs()], dim=1)), labels)

    def parameters(self) -> list[nn.Parameter]:
        """The classifier's weights."""
        return list(self._classifier.parameters())


class MatryoshkaLoss:
    """The mean of another loss over the whole embedding and over its first dimensions, normalised anew (arXiv 2205.13147)."""

    def __init__(self, loss: EmbeddingLoss, dims: tuple[int, ...]) -> None:
        self._loss, self._dims = loss, dims

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """See EmbeddingLoss."""
        cut = ([nn.functional.normalize(column[:, :dim], dim=1) for column in embeddings] for dim in self._dims)
        return torch.stack([self._loss(columns, labels) for columns in (embeddings, *cut)]).mean()

    def parameters(self) -> list[nn.Parameter]:
        """Those of the loss inside."""
        return self._loss.parameters()


def nli_loss(model: SentenceTransformer, settings: NliSettings, device: torch.device) -> EmbeddingLoss:
    """MultipleNegativesRankingLoss over (anchor, entailment[, contradiction]), or the 3-way classifier."""
    if settings.loss == "softmax":
        return PairClassifierLoss(int(model.get_embedding_dimension()), device)
    if settings.directions == "forward":
        return LibraryLoss(MultipleNegativesRankingLoss(model, scale=settings.scale))
    both = ("query_to_doc", "doc_to_query")
    return LibraryLoss(MultipleNegativesRankingLoss(model, scale=settings.scale, directions=both, partition_mode="per_direction"))


def sts_loss(model: SentenceTransformer, settings: StsSettings) -> EmbeddingLoss:
    """Mean squared error between cosine and score, or one of the two losses that compare the order of pairs."""
    if settings.loss == "cosine":
        return LibraryLoss(CosineSimilarityLoss(model))
    kind = {"cosent": CoSENTLoss, "angle": AnglELoss}[settings.loss]
    return LibraryLoss(kind(model, scale=settings.scale))
