"""Sentences per second by length and batch size, of a model beside its base."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.evaluation.efficiency.lengths import LARGEST_BATCH, Bucket
from sbert_prune.evaluation.efficiency.timing import LEAST_PAIRS, Ratio, median_ratio, time_in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sbert_prune.evaluation.efficiency.timing import Clock, Rival


@dataclass(frozen=True, slots=True)
class Cell:
    """Texts of one bucket, embedded in calls of one batch each.

    pieces: their mean length.  pairs: calls that were timed of each.  base_sentences_per_s, speedup: None without a base.
    """

    bucket: str
    pieces: float
    batch_size: int
    pairs: int
    sentences_per_s: float
    base_sentences_per_s: float | None
    speedup: Ratio | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a pair of calls, one of each rival, takes: never less than `least_s`, and so much a piece."""

    least_s: float
    per_piece_s: float

    def of_cell(self, bucket: Bucket, batch_size: int) -> float:
        """Seconds that the fewest pairs of a cell take, warmed up."""
        return (LEAST_PAIRS + 1) * max(self.least_s, self.per_piece_s * bucket.pieces * batch_size)


def cell_of(bucket: Bucket, batch_size: int, taken: NDArray[np.float64]) -> Cell:
    """What the times of a model, and of its base where there is one, come to. *Shape:* (passes, batches, 1 or 2), in seconds"""
    passes, batches, rivals = taken.shape
    per_s = batches * batch_size / np.median(taken, axis=0).sum(axis=0)
    return Cell(
        bucket=bucket.name,
        pieces=bucket.pieces,
        batch_size=batch_size,
        pairs=passes * batches,
        sentences_per_s=float(per_s[0]),
        base_sentences_per_s=float(per_s[1]) if rivals > 1 else None,
        speedup=median_ratio(taken[..., 1], taken[..., 0]) if rivals > 1 else None,
    )


def time_cells(
    rivals: Sequence[Rival], buckets: Sequence[Bucket], cost: Cost, *, until: float, clock: Clock
) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """Time single texts and batches of 32 of each bucket, cheapest first; what would take longer than there is time is named.

    until: when to be done, by the clock.
    """
    planned = [(cost.of_cell(bucket, size), bucket, size) for bucket in buckets for size in (1, LARGEST_BATCH)]
    planned.sort(key=lambda cell: cell[0])
    cells, left_out = [], []
    for place, (needed, bucket, size) in enumerate(planned):
        left = max(0.0, until - clock())
        fitting = _fitting([seconds for seconds, _, _ in planned[place:]], left)
        if not fitting:
            left_out.append(f"{bucket.name}, {size} at once (some {needed:.0f} s)")
            continue
        batches = [[text] for text in bucket.spread(LEAST_PAIRS)] if size == 1 else [list(bucket.texts)]
        spare = (left - sum(fitting)) / len(fitting)
        cells.append(cell_of(bucket, size, time_in_turn(rivals, batches, seconds=needed + spare, clock=clock)))
    return tuple(sorted(cells, key=lambda cell: (cell.pieces, cell.batch_size))), tuple(left_out)


def _fitting(costs: Sequence[float], left: float) -> Sequence[float]:
    """The first costs that together are no more than what is left."""
    return costs[: sum(total <= left for total in accumulate(costs))]
