"""How fast a sentence model is, timed in turn with its base: one sentence, batches, and texts of several lengths."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.evaluation.efficiency.lengths import LARGEST_BATCH, Bucket, length_buckets, longest, own_bucket
from sbert_prune.evaluation.efficiency.timing import (
    LEAST_PAIRS,
    Conditions,
    Ratio,
    conditions_on,
    median_ratio,
    time_in_turn,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

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


BUDGET_S = 4.0
_SINGLE_SHARE, _BATCHED_SHARE = 0.15, 0.4
SINGLES = 20  # one of each twentieth of the lengths
BATCHES = 4


@dataclass(frozen=True, slots=True)
class Speed:
    """latency: of one of the data's own sentences, in milliseconds; with fewer than 100 `single.pairs`, p99 is nearly the slowest call.

    single, batched: the data's own sentences, one at a time, and in batches of 32 of like length, as encode() makes them.
    cells: by length and batch size.  left_out: the cells that would have taken too long, for people.
    seconds: what the measurement took.
    """

    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    single: Cell
    batched: Cell
    cells: tuple[Cell, ...]
    left_out: tuple[str, ...]
    conditions: Conditions
    seconds: float

    @property
    def table(self) -> tuple[Cell, ...]:
        """All cells: own sentences first, then by length."""
        return (self.single, self.batched, *self.cells)

    def metrics(self) -> dict[str, float]:
        """By their names in MLflow; no speed-up without a base."""
        found = {
            "speed/latency_p50_ms": self.latency_p50_ms,
            "speed/latency_p95_ms": self.latency_p95_ms,
            "speed/latency_p99_ms": self.latency_p99_ms,
            "speed/sentences_per_s": self.batched.sentences_per_s,
            "speed/threads": float(self.conditions.threads),
        }
        if (speedup := self.batched.speedup) is not None:
            found |= {
                "speed/speedup": speedup.value,
                "speed/speedup_low": speedup.low,
                "speed/speedup_high": speedup.high,
            }
        return found


def measure_speed(
    model: SentenceTransformer,
    base: SentenceTransformer | None,
    sentences: Sequence[str],
    *,
    budget_s: float = BUDGET_S,
    singles: int = SINGLES,
    batches: int = BATCHES,
    clock: Clock = time.perf_counter,
) -> Speed:
    """Time model and base call by call in turn; a speed-up is the median of the pairs' ratios, with its 95 % interval.

    Args:
        model: Timed in turn with the base.
        base: None where there is none; then there is no speed-up.
        sentences: The data's own.
        budget_s: Some half of it goes to the data's own sentences; what is left, and with a slow model as much again as they took, to
            texts of other lengths.
        singles: How many of the own sentences are timed one at a time, at least.
        batches: How many batches of 32 of the own sentences are timed, in two passes at least.
        clock: Seconds, from anywhere.
    """
    begun = clock()
    models = [model] if base is None else [model, base]
    rivals = [_encoding(each) for each in models]
    own = own_bucket(model, sentences)
    one_by_one = [[text] for text in own.spread(singles)]
    alone = time_in_turn(rivals, one_by_one, seconds=budget_s * _SINGLE_SHARE, clock=clock)
    texts = own.spread(batches * LARGEST_BATCH)
    by_32 = [texts[start : start + LARGEST_BATCH] for start in range(0, len(texts), LARGEST_BATCH)]
    together = time_in_turn(rivals, by_32, seconds=budget_s * _BATCHED_SHARE, clock=clock)

    cost = Cost(float(np.median(alone.sum(axis=2))), float(together.sum(axis=2).mean()) / (own.pieces * LARGEST_BATCH))
    until = begun + max(budget_s, 2 * (clock() - begun))
    buckets = length_buckets(model, sentences, min(map(longest, models)))
    cells, left_out = time_cells(rivals, buckets, cost, until=until, clock=clock)
    p50, p95, p99 = (float(latency) for latency in np.quantile(alone[..., 0] * 1000, [0.5, 0.95, 0.99]))
    return Speed(
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        single=cell_of(own, 1, alone),
        batched=cell_of(own, LARGEST_BATCH, together),
        cells=cells,
        left_out=left_out,
        conditions=conditions_on(model.device),
        seconds=clock() - begun,
    )


def _encoding(model: SentenceTransformer) -> Rival:
    def encode(batch: list[str]) -> None:
        model.encode(batch, batch_size=len(batch), show_progress_bar=False)
        wait_for(model.device)

    return encode
