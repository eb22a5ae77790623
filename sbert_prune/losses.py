"""The losses of the phases with labels, one row each: what it trains on, and how it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from torch import nn


class EmbeddingLoss(Protocol):
    """A loss over the embeddings of a batch, one tensor per column. *Shape of each:* (batch, dim)"""

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """Return the mean loss of the batch, a scalar."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the loss itself; they are trained, and dropped after the phase."""
        ...


class LibraryLoss:
    """A loss of sentence-transformers, applied to computed embeddings."""

    def __init__(self, loss: Any) -> None:
        """Take a loss that has `compute_loss_from_embeddings`."""
        self._loss = loss

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """See EmbeddingLoss."""
        value: torch.Tensor = self._loss.compute_loss_from_embeddings(embeddings, labels)
        return value

    def parameters(self) -> list[nn.Parameter]:
        """Return an empty list."""
        return []


class PairClassifierLoss:
    """SoftmaxLoss: a 3-way classifier on (u, v, |u - v|), dropped after the phase (SBERT, arXiv 1908.10084)."""

    def __init__(self, dimension: int, device: torch.device) -> None:
        """Initialise the classifier at random.

        Args:
            dimension: Of the embeddings.
            device: Of the embeddings.
        """
        from torch import nn

        self._dimension = dimension
        self._classifier = nn.Linear(3 * dimension, 3, device=device)

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """See EmbeddingLoss. Labels are classes 0, 1, 2; embeddings that were cut are padded with zeros."""
        import torch
        from torch.nn import functional

        if labels is None:
            raise ValueError("PairClassifierLoss needs the class of each pair")
        left, right = (functional.pad(column, (0, self._dimension - column.shape[1])) for column in embeddings)
        scores = self._classifier(torch.cat([left, right, (left - right).abs()], dim=1))
        return functional.cross_entropy(scores, labels)

    def parameters(self) -> list[nn.Parameter]:
        """Return the classifier's parameters."""
        return list(self._classifier.parameters())


def _mnrl(model: SentenceTransformer, settings: Any, device: torch.device) -> EmbeddingLoss:  # noqa: ARG001 - a row
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    if settings.directions == "forward":
        return LibraryLoss(MultipleNegativesRankingLoss(model, scale=settings.scale))
    both = ("query_to_doc", "doc_to_query")
    return LibraryLoss(
        MultipleNegativesRankingLoss(model, scale=settings.scale, directions=both, partition_mode="per_direction")
    )


def _softmax(model: SentenceTransformer, settings: Any, device: torch.device) -> EmbeddingLoss:  # noqa: ARG001 - a row
    return PairClassifierLoss(int(model.get_embedding_dimension()), device)


def _cosine(model: SentenceTransformer, settings: Any, device: torch.device) -> EmbeddingLoss:  # noqa: ARG001 - a row
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

    return LibraryLoss(CosineSimilarityLoss(model))


def _cosent(model: SentenceTransformer, settings: Any, device: torch.device) -> EmbeddingLoss:  # noqa: ARG001 - a row
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    return LibraryLoss(CoSENTLoss(model, scale=settings.scale))


def _angle(model: SentenceTransformer, settings: Any, device: torch.device) -> EmbeddingLoss:  # noqa: ARG001 - a row
    from sentence_transformers.sentence_transformer.losses import AnglELoss

    return LibraryLoss(AnglELoss(model, scale=settings.scale))


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
        help: What it minimises, for `--help`.
        build: Returns the loss for a model, the settings of its phase, and a device.
        triplets: Whether NLI rows become triplets (anchor, entailment, contradiction) instead of pairs with a class.
    """

    help: str
    build: Callable[[SentenceTransformer, Any, torch.device], EmbeddingLoss]
    triplets: bool = False


LOSSES: dict[str, dict[str, Loss]] = {
    "nli": {
        "mnrl": Loss("MultipleNegativesRankingLoss, on triplets", _mnrl, triplets=True),
        "softmax": Loss("SoftmaxLoss, a 3-way classifier on pairs", _softmax),
    },
    "sts": {
        "cosine": Loss("CosineSimilarityLoss, the squared error of the cosine", _cosine),
        "cosent": Loss("CoSENTLoss, the order of the pairs by cosine", _cosent),
        "angle": Loss("AnglELoss, the order of the pairs by angle", _angle),
    },
}
"""The losses of each phase, by name. The first is the default."""


def build_loss(phase: str, model: SentenceTransformer, settings: Any, device: torch.device) -> EmbeddingLoss:
    """Return the loss that the settings of a phase name."""
    return LOSSES[phase][settings.loss].build(model, settings, device)
