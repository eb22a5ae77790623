"""What an optimizer step minimises: the labels' loss, a teacher's embeddings, earlier exits, each with its weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from sbert_prune.training.losses import EmbeddingLoss
    from sbert_prune.training.supernet import Subsets

_TEMPERATURE = 0.3  # of the exits' divergence from the last one, as in 2DMSE


@dataclass(frozen=True, slots=True)
class Batch:
    """What a loss may look at besides embeddings.

    labels: a class or a score for each row. *Shape:* (batch,)
    targets: a teacher's embeddings, exit by exit, the last its own. *Shape:* (exits, columns, batch, teacher's dim)
    """

    labels: torch.Tensor | None
    targets: torch.Tensor | None


@dataclass(frozen=True)
class Objective:
    """The sum of what a phase learns from.

    task: what the labels ask for; None in distillation alone.
    distillation: weight of the distance to a teacher's embedding, 1 - cosine.  projection: where the teacher's is wider or narrower.
    layer_weight: weight of the same distance at every kept layer before the last.
    num_layers: of the model.  adaptive: train one earlier exit along, drawn by seed and optimizer step.
    subsets: which layers run for each batch; None: all of them.
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
        """What the losses themselves learn; dropped after the phase."""
        of_task = self.task.parameters() if self.task else []
        return [*of_task, *(self.projection.parameters() if self.projection else [])]

    def exits(self, batch_number: int) -> tuple[int, ...]:
        """The depths at which sentences have to be embedded for a batch; the last is the whole model."""
        if self.subsets is not None:
            return (self.subsets.at(batch_number).num_layers,)
        if self.layer_weight > 0:
            return tuple(range(1, self.num_layers + 1))
        if self.adaptive and self.num_layers > 1:
            return (int(np.random.default_rng((self.seed, batch_number)).integers(1, self.num_layers)), self.num_layers)
        return (self.num_layers,)

    def __call__(self, embeddings: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The loss of a batch, a scalar. embeddings: *Shape:* (exits, columns, batch, dim)"""
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
                distances = [_distance(columns, wanted) for columns, wanted in zip(earlier, earlier_targets, strict=True)]
                loss = loss + self.layer_weight * torch.stack(distances).mean()
        return loss


def _distance(embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (1 - nn.functional.cosine_similarity(embeddings, targets, dim=-1)).mean()


def _divergence(columns: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of an earlier exit's embeddings, as distributions over dimensions, from the last one's."""
    wanted = torch.softmax(last.detach().flatten(0, 1) / _TEMPERATURE, dim=-1)
    found = torch.log_softmax(columns.flatten(0, 1) / _TEMPERATURE, dim=-1)
    return _TEMPERATURE * nn.functional.kl_div(found, wanted, reduction="batchmean")
