"""The gradient of a batch, computed in as many forward passes as sentence lengths and memory require.

The embeddings of all passes are concatenated before the loss is computed, and the loss's gradient is propagated pass by
pass. The result is therefore that of one pass over the whole batch. If memory does not allow keeping the activations of
all passes, each pass is repeated for its backward half, with the same dropout (GradCache, arXiv 2101.06983).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sbert_prune.training.distributed import WorkerGroup
from sbert_prune.training.embedding import embed_batch
from sbert_prune.training.supernet import thinned

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.training.batches import Examples
    from sbert_prune.training.device import Hardware
    from sbert_prune.training.objective import Objective

_MIN_SAVING = {"cpu": 512}
"""Pieces of padding that one more forward pass has to save; on other devices a pass itself costs more."""
_MIN_SAVING_ELSEWHERE = 16_384


@dataclass
class Gradient:
    """Accumulates the gradients of batches in the parameters.

    Attributes:
        model: The sentence model.
        examples: The tokenised rows.
        objective: The loss.
        hardware: The device and precision.
        limit: Sentences in one pass. None: all of a batch, and no pass is repeated.
        group: The processes that share a batch.
    """

    model: SentenceTransformer
    examples: Examples
    objective: Objective
    hardware: Hardware
    limit: int | None = None
    group: WorkerGroup = field(default_factory=WorkerGroup)

    def add(self, rows: NDArray[np.intp], batch_number: int, *, share: float = 1.0) -> torch.Tensor:
        """Add a batch's gradient, times `share`, to the parameters' gradients.

        Returns:
            The loss of the batch, a scalar on the device.
        """
        subsets = self.objective.subsets
        with thinned(self.model, subsets.at(batch_number)) if subsets is not None else nullcontext():
            return self._add(rows, batch_number, share)

    def _add(self, rows: NDArray[np.intp], batch_number: int, share: float) -> torch.Tensor:
        device = self.hardware.device
        sentences = self.examples.sentences(rows)
        order = np.argsort(-self.examples.tokens.lengths[sentences], kind="stable")
        local = order[self.group.share(len(order))]
        exits = self.objective.exits(batch_number)
        passes = [_Pass(self, sentences[places], exits) for places in self._split(local, sentences)]
        outputs = [forward.embed(keep_graph=self.limit is None) for forward in passes]
        detached = [output.detach() for output in outputs]
        vectors = torch.cat(detached, dim=1) if detached else self._no_embeddings(exits)
        whole = self.group.gather(vectors.transpose(0, 1).contiguous(), len(order)).transpose(0, 1)
        places = torch.from_numpy(np.argsort(order)).to(device)
        leaf = whole[:, places].contiguous().requires_grad_()
        columns = self.examples.index.shape[1]
        loss = self.objective(leaf.view(len(exits), columns, len(rows), -1), self.examples.batch(rows, device))
        (loss * share).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        assert leaf.grad is not None
        rest = leaf.grad[:, torch.from_numpy(local).to(device)]
        for forward, output in zip(passes, outputs, strict=True):
            gradient, rest = rest[:, : len(forward.sentences)], rest[:, len(forward.sentences) :]
            torch.autograd.backward(output if self.limit is None else forward.repeat(), gradient)
        return loss.detach()

    def _no_embeddings(self, exits: tuple[int, ...]) -> torch.Tensor:
        """Return the embeddings of a process that has no share of a small batch."""
        return torch.zeros(len(exits), 0, int(self.model.get_embedding_dimension()), device=self.hardware.device)

    def _split(self, order: NDArray[np.intp], sentences: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Split places that are sorted by length, longest first, into passes."""
        lengths = self.examples.tokens.lengths[sentences[order]]
        min_saving = _MIN_SAVING.get(self.hardware.device.type, _MIN_SAVING_ELSEWHERE)
        parts = _split_by_length(order, lengths, min_saving)
        if self.limit is None:
            return parts
        return [part[start : start + self.limit] for part in parts for start in range(0, len(part), self.limit)]


def _split_by_length(order: NDArray[np.intp], lengths: NDArray[np.int64], min_saving: int) -> list[NDArray[np.intp]]:
    """Split where most padding is saved, recursively, while a split saves at least `min_saving` pieces."""
    if len(order) < 2:
        return [order] if len(order) else []
    # The first k stay as wide as the longest; the others shrink to the width of the first among them.
    saved = np.arange(len(order) - 1, 0, -1) * (lengths[0] - lengths[1:])
    at = int(saved.argmax()) + 1
    if saved[at - 1] < min_saving:
        return [order]
    return [
        *_split_by_length(order[:at], lengths[:at], min_saving),
        *_split_by_length(order[at:], lengths[at:], min_saving),
    ]


class _Pass:
    """A forward pass over some sentences, with the random state that it started from."""

    def __init__(self, gradient: Gradient, sentences: NDArray[np.intp], exits: tuple[int, ...]) -> None:
        self.sentences = sentences
        self._gradient, self._exits = gradient, exits
        self._random: list[torch.Tensor] = []

    def embed(self, *, keep_graph: bool) -> torch.Tensor:
        if keep_graph:
            return self._forward()
        self._random = random_state(self._gradient.hardware.device)
        with torch.no_grad():
            return self._forward()

    def repeat(self) -> torch.Tensor:
        device = self._gradient.hardware.device
        now = random_state(device)
        set_random_state(device, self._random)
        embedded = self._forward()
        set_random_state(device, now)
        return embedded

    def _forward(self) -> torch.Tensor:
        gradient = self._gradient
        features = gradient.examples.features(self.sentences, gradient.hardware.device)
        return embed_batch(gradient.model, features, gradient.hardware, self._exits)


def random_state(device: torch.device) -> list[torch.Tensor]:
    """Return the states of the generators that dropout draws from: the CPU's, and the GPU's if there is one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(device: torch.device, states: list[torch.Tensor]) -> None:
    """Restore what `random_state` returned."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
