"""Several processes that train one model together, as torchrun and accelerate start them; or one, alone.

Each process embeds its share of a batch's sentences. The embeddings go round, every process computes the loss of the whole batch, and the
gradients of the weights are added up: so the arithmetic is that of one process with the same global batch, whatever the loss.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATIENCE = timedelta(days=7)  # of processes that wait while the first one evaluates or logs


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """This process's number among how many."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that evaluates, saves and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of so many sentences this process embeds: every size-th one, so that long and short ones are dealt out alike."""
        return slice(self.rank, count, self.size)

    def gather(self, own: torch.Tensor, count: int) -> torch.Tensor:
        """Put the shares together again. own: *Shape:* (share, ...); returns *Shape:* (count, ...)"""
        if self.size == 1:
            return own
        most = -(-count // self.size)
        padded = own.new_zeros((most, *own.shape[1:]))
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        whole = own.new_empty((count, *own.shape[1:]))
        for rank, part in enumerate(parts):
            places = slice(rank, count, self.size)
            whole[places] = part[: len(range(*places.indices(count)))]
        return whole

    def add_up(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients of all processes, in place."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)

    def tell(self, value: Any) -> Any:
        """Hand a value of the leading process to all; returns it everywhere."""
        if self.size == 1:
            return value
        # Our own processes talk to each other here: nothing that came from outside is unpickled.
        box = [pickle.dumps(value) if self.leads else None]
        distributed.broadcast_object_list(box, src=0)
        return value if self.leads else pickle.loads(box[0])  # type: ignore[arg-type]


def join_group() -> WorkerGroup:
    """The crew that this process belongs to, joined on the first call."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return WorkerGroup()
    if not distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=_PATIENCE)
    return WorkerGroup(distributed.get_rank(), size)


def leave_group() -> None:
    """Tell the helpers that nothing is left to do, and part."""
    crew = join_group()  # helpers wait even where nothing was trained
    if crew.size > 1:
        crew.tell(None)
        distributed.destroy_process_group()
