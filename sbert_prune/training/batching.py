"""Which rows share a batch: sentences of like length together, no sentence twice where the loss forbids it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from sbert_prune.training.batches import Examples

_WINDOW = 32
"""Batches sorted by length together. Padding hardly falls further beyond it, and the order of rows stays random enough."""


def plan_batches(examples: Examples, batch_size: int, *, epochs: float, seed: int, unique: bool) -> list[NDArray[np.intp]]:
    """Plan a whole phase: row numbers for each optimizer step, the same for the same seed.

    unique: no distinct sentence stands in two rows of a batch (in-batch negatives would contain the positive).
    epochs: may end in a fraction; the last pass is cut there.
    """
    batches: list[NDArray[np.intp]] = []
    for epoch in range(math.ceil(epochs)):
        planned = _plan_epoch(examples, batch_size, np.random.default_rng((seed, epoch)), unique=unique)
        batches.extend(planned[: max(1, round((epochs - epoch) * len(planned)))])
    return batches


def _plan_epoch(examples: Examples, batch_size: int, rng: np.random.Generator, *, unique: bool) -> list[NDArray[np.intp]]:
    order = rng.permutation(len(examples))
    # With up to two pieces of noise, rows mix with their neighbours in length: no two epochs hold the same batches.
    widths = examples.widths + rng.uniform(0, 2, len(examples))
    batches: list[NDArray[np.intp]] = []
    for start in range(0, len(order), _WINDOW * batch_size):
        window = order[start : start + _WINDOW * batch_size]
        window = window[np.argsort(widths[window], kind="stable")]
        batches.extend(_without_repeats(examples, window, batch_size) if unique else _slices(window, batch_size))
    return [batches[position] for position in rng.permutation(len(batches))]


def _slices(rows: NDArray[np.intp], batch_size: int) -> Iterable[NDArray[np.intp]]:
    return (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))


def _without_repeats(examples: Examples, rows: NDArray[np.intp], batch_size: int) -> list[NDArray[np.intp]]:
    """Each row goes to the first open batch that holds none of its sentences; near neighbours in length stay together."""
    if batch_size == 1:
        return list(_slices(rows, 1))
    closed: list[NDArray[np.intp]] = []
    open_batches: list[tuple[list[int], set[int]]] = []
    for row in rows.tolist():
        sentences = set(examples.index[row].tolist())
        for position, (members, seen) in enumerate(open_batches):
            if seen.isdisjoint(sentences):
                members.append(row)
                seen.update(sentences)
                if len(members) == batch_size:
                    closed.append(np.array(open_batches.pop(position)[0], dtype=np.intp))
                break
        else:
            open_batches.append(([row], sentences))
    return [*closed, *(np.array(members, dtype=np.intp) for members, _ in open_batches)]
