"""Data-parallel training in several processes, as torchrun and accelerate start them.

Each process embeds its share of a batch's sentences. All processes gather all embeddings, compute the loss of the whole
batch, and sum the gradients of the weights. The result is therefore that of one process with the same global batch,
whatever the loss.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from sbert_prune.errors import TrainingError
from sbert_prune.system.launch import rank_and_size

if TYPE_CHECKING:
    from collections.abc import Iterable

_TIMEOUT = timedelta(days=7)  # the other processes wait while the main one evaluates or logs
_JOIN_TIMEOUT = timedelta(minutes=5)  # they join as soon as they have imported torch, on other machines as well
_LEAVE_TIMEOUT = timedelta(seconds=20)  # where nothing was trained, they have been waiting since they were started
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """The processes that train one model together, seen from one of them.

    Attributes:
        rank: The number of this process, from 0.
        size: The number of processes; 1 without torchrun.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process evaluates, saves and reports."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of `count` sentences this process embeds: every size-th one.

        Sentences are sorted by length, so each process gets long and short ones alike.
        """
        return slice(self.rank, count, self.size)

    def gather(self, part: torch.Tensor, count: int) -> torch.Tensor:
        """Gather the shares of all processes.

        Args:
            part: This process's share. *Shape:* (share, ...)
            count: The number of rows of all shares together.

        Returns:
            All rows in their order, in every process. *Shape:* (count, ...)
        """
        if self.size == 1:
            return part
        most = -(-count // self.size)
        padded = part.new_zeros((most, *part.shape[1:]))
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        whole = part.new_empty((count, *part.shape[1:]))
        for rank, gathered in enumerate(parts):
            places = slice(rank, count, self.size)
            whole[places] = gathered[: len(range(*places.indices(count)))]
        return whole

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients of all processes, in place."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)

    def broadcast(self, value: Any) -> Any:
        """Send the main process's value to all processes and return it in each of them."""
        if self.size == 1:
            return value
        # Only values of our own processes are unpickled, nothing from outside.
        box = [pickle.dumps(value) if self.is_main else None]
        distributed.broadcast_object_list(box, src=0)
        return value if self.is_main else pickle.loads(box[0])  # type: ignore[arg-type]


def join_group(wait: timedelta = _JOIN_TIMEOUT) -> WorkerGroup:
    """Return the group of this process; the first call joins it.

    Args:
        wait: How long the main process waits for the others, which wait for it as long as it works.

    Raises:
        RecipeError: torchrun's variables do not fit together.
        TrainingError: The other processes do not come, or cannot be connected.
    """
    rank, size = rank_and_size()
    if size == 1:
        return WorkerGroup()
    if not distributed.is_initialized():
        _join(size, _TIMEOUT if rank else wait)
    return WorkerGroup(distributed.get_rank(), size)


def _join(size: int, wait: timedelta) -> None:
    """Join the group in a thread, as a process that waits outside Python does not react to signals."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    faults: list[Exception] = []

    def join() -> None:
        try:
            distributed.init_process_group(backend, timeout=_TIMEOUT)
        except (RuntimeError, ValueError, OSError) as error:
            faults.append(error)

    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    deadline = time.monotonic() + wait.total_seconds()
    while thread.is_alive() and time.monotonic() < deadline:
        thread.join(_POLL_S)
    if not faults and not thread.is_alive():
        return
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    reason = str(faults[0]).strip().splitlines()[0] if faults else f"none came within {wait.seconds} s"
    raise TrainingError(
        f"WORLD_SIZE={size}, but the other processes could not be joined at {address}: {reason}. "
        "Start all of them, as torchrun does; to run alone: unset WORLD_SIZE RANK"
    )


def leave_group() -> None:
    """End the other processes' `run_worker` and leave the group."""
    group = join_group(_LEAVE_TIMEOUT)  # the other processes wait even if nothing was trained
    if group.size > 1:
        group.broadcast(None)
        distributed.destroy_process_group()
