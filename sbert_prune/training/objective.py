"""The objective of a phase: the weighted sum of its loss and the distances to a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from sbert_prune.losses import EmbeddingLoss
    from sbert_prune.training.supernet import Subsets


class MatryoshkaLoss:
    """The mean of a loss over the whole embedding and over its normalised first dimensions (arXiv 2205.13147)."""

    def __init__(self, loss: EmbeddingLoss, dims: tuple[int, ...]) -> None:
        self._loss, self._dims = loss, dims

    def __call__(self, embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """See EmbeddingLoss."""
        cut = ([nn.functional.normalize(column[:, :dim], dim=1) for column in embeddings] for dim in self._dims)
        return torch.stack([self._loss(columns, labels) for columns in (embeddings, *cut)]).mean()

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the inner loss."""
        return self._loss.parameters()


_TEMPERATURE = 0.3  # for the divergence of an earlier exit from the last one, as in 2DMSE


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of a loss besides the embeddings.

    Attributes:
        labels: A class or a score for each row. *Shape:* (batch,)
        targets: A teacher's embeddings at each exit; the last is its final one.
            *Shape:* (exits, columns, batch, teacher's dim)
    """

    labels: torch.Tensor | None
    targets: torch.Tensor | None


@dataclass(frozen=True)
class Objective:
    """The weighted sum of the losses of a phase.

    Attributes:
        task: The loss on the labels; None in distillation alone.
        num_layers: Layers of the model.
        distillation: Weight of the distance to a teacher's embedding, 1 - cosine.
        layer_weight: Weight of the same distance at every kept layer before the last.
        projection: Maps embeddings to the teacher's dimensions if they differ.
        adaptive: Whether one earlier exit is trained as well, drawn by seed and batch.
        seed: Decides the earlier exits.
        subsets: Which layers run for each batch; None: all of them.
    """

    task: EmbeddingLoss | None
    num_layers: int
    distillation: float = 0.0
    layer_weight: float = 0.0
    projection: nn.Linear | None = None
    adaptive: bool = False
    seed: int = 0
    subsets: Subsets | None = None

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the losses themselves; they are dropped after the phase."""
        task = self.task.parameters() if self.task else []
        return [*task, *(self.projection.parameters() if self.projection else [])]

    def exits(self, batch_number: int) -> tuple[int, ...]:
        """Return the depths at which a batch has to be embedded; the last is the whole model."""
        if self.subsets is not None:
            return (self.subsets.at(batch_number).num_layers,)
        if self.layer_weight > 0:
            return tuple(range(1, self.num_layers + 1))
        if self.adaptive and self.num_layers > 1:
            generator = np.random.default_rng((self.seed, batch_number))
            return (int(generator.integers(1, self.num_layers)), self.num_layers)
        return (self.num_layers,)

    def __call__(self, embeddings: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch, a scalar. *Shape of embeddings:* (exits, columns, batch, dim)"""
        *earlier, last = embeddings
        loss = torch.zeros((), device=embeddings.device)
        if self.task is not None:
            loss = loss + self.task(list(last), batch.labels)
            if self.adaptive:
                for columns in earlier:
                    loss = loss + self.task(list(columns), batch.labels) + _divergence(columns, last)
        if batch.targets is not None and self.distillation > 0:
            *earlier_targets, target = batch.targets
            loss = loss + self.distillation * _distance(self.projection(last) if self.projection else last, target)
            if self.layer_weight > 0 and earlier:
                pairs = zip(earlier, earlier_targets, strict=True)
                distances = [_distance(columns, targets) for columns, targets in pairs]
                loss = loss + self.layer_weight * torch.stack(distances).mean()
        return loss


def _distance(embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (1 - nn.functional.cosine_similarity(embeddings, targets, dim=-1)).mean()


def _divergence(columns: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Return the KL divergence of an earlier exit from the last one; embeddings are distributions over dimensions."""
    target = torch.softmax(last.detach().flatten(0, 1) / _TEMPERATURE, dim=-1)
    log_probabilities = torch.log_softmax(columns.flatten(0, 1) / _TEMPERATURE, dim=-1)
    return _TEMPERATURE * nn.functional.kl_div(log_probabilities, target, reduction="batchmean")
