"""The gradient of a batch, in as many forward passes as length and memory ask for.

The embeddings of all passes are put together before the loss sees them, and the loss's gradient goes back pass by pass: so the result is
that of one pass over the whole batch. Where a pass had to be forgotten for want of memory it is repeated for its backward half, with the
same dropout (GradCache, arXiv 2101.06983).
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
    from sbert_prune.training.losses import Objective

_WORTH_A_PASS = {"cpu": 512}
"""Pieces of padding that one more forward pass has to save; elsewhere the passes' own price is higher."""
_WORTH_A_PASS_ELSEWHERE = 16_384


@dataclass
class Gradient:
    """Adds up the gradient of batch after batch.

    limit: sentences of one pass; None: all of a batch, and no pass is repeated.
    """

    model: SentenceTransformer
    examples: Examples
    objective: Objective
    hardware: Hardware
    limit: int | None = None
    crew: WorkerGroup = field(default_factory=WorkerGroup)

    def add(self, rows: NDArray[np.intp], batch_number: int, *, share: float = 1.0) -> torch.Tensor:
        """Add a batch's gradient, times `share`, to the parameters'; returns its loss, a scalar on the device."""
        subsets = self.objective.subsets
        with thinned(self.model, subsets.at(batch_number)) if subsets is not None else nullcontext():
            return self._add(rows, batch_number, share)

    def _add(self, rows: NDArray[np.intp], batch_number: int, share: float) -> torch.Tensor:
        device = self.hardware.device
        sentences = self.examples.sentences(rows)
        order = np.argsort(-self.examples.tokens.lengths[sentences], kind="stable")
        own = order[self.crew.share(len(order))]
        exits = self.objective.exits(batch_number)
        passes = [_Pass(self, sentences[places], exits) for places in self._split(own, sentences)]
        embedded = [one.embed(keep=self.limit is None) for one in passes]
        found = torch.cat([one.detach() for one in embedded], dim=1) if embedded else self._nothing(exits)
        whole = self.crew.gather(found.transpose(0, 1).contiguous(), len(order)).transpose(0, 1)
        places = torch.from_numpy(np.argsort(order)).to(device)
        leaf = whole[:, places].contiguous().requires_grad_()
        columns = self.examples.index.shape[1]
        loss = self.objective(leaf.view(len(exits), columns, len(rows), -1), self.examples.batch(rows, device))
        (loss * share).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        assert leaf.grad is not None
        back = leaf.grad[:, torch.from_numpy(own).to(device)]
        for one, kept in zip(passes, embedded, strict=True):
            gradient, back = back[:, : len(one.sentences)], back[:, len(one.sentences) :]
            torch.autograd.backward(kept if self.limit is None else one.again(), gradient)
        return loss.detach()

    def _nothing(self, exits: tuple[int, ...]) -> torch.Tensor:
        """What a process embeds that has no share of a small batch."""
        return torch.zeros(len(exits), 0, int(self.model.get_embedding_dimension()), device=self.hardware.device)

    def _split(self, order: NDArray[np.intp], sentences: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Cut places that are sorted by length, longest first, into passes."""
        lengths = self.examples.tokens.lengths[sentences[order]]
        worth = _WORTH_A_PASS.get(self.hardware.device.type, _WORTH_A_PASS_ELSEWHERE)
        groups = _by_length(order, lengths, worth)
        if self.limit is None:
            return groups
        return [group[start : start + self.limit] for group in groups for start in range(0, len(group), self.limit)]


def _by_length(order: NDArray[np.intp], lengths: NDArray[np.int64], worth: int) -> list[NDArray[np.intp]]:
    """Split where most padding is saved, again and again, as long as that is worth a pass."""
    if len(order) < 2:
        return [order] if len(order) else []
    # The first k stay as wide as the longest; the others shrink to the width of the first among them.
    saved = np.arange(len(order) - 1, 0, -1) * (lengths[0] - lengths[1:])
    at = int(saved.argmax()) + 1
    if saved[at - 1] < worth:
        return [order]
    return [*_by_length(order[:at], lengths[:at], worth), *_by_length(order[at:], lengths[at:], worth)]


class _Pass:
    """Some sentences on their way through the model, and the state of randomness in which they went."""

    def __init__(self, gradient: Gradient, sentences: NDArray[np.intp], exits: tuple[int, ...]) -> None:
        self.sentences = sentences
        self._gradient, self._exits = gradient, exits
        self._random: list[torch.Tensor] = []

    def embed(self, *, keep: bool) -> torch.Tensor:
        if keep:
            return self._forward()
        self._random = random_state(self._gradient.hardware.device)
        with torch.no_grad():
            return self._forward()

    def again(self) -> torch.Tensor:
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
    """The states of the random generators that dropout draws from: the CPU's, and the device's where it has its own."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(device: torch.device, states: list[torch.Tensor]) -> None:
    """Put them back."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
