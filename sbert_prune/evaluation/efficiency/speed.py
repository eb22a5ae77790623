"""The speed of a sentence model, timed alternately with its base: single sentences, batches and several lengths."""

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
from sbert_prune.system.limits import count_others

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.evaluation.efficiency.timing import Clock, Rival


@dataclass(frozen=True, slots=True)
class Cell:
    """Speed on the texts of one bucket, with one batch per call.

    Attributes:
        bucket: Name of the bucket.
        pieces: Mean length of its texts.
        batch_size: Texts per call.
        pairs: Number of timed calls of each model.
        sentences_per_s: Speed of the model.
        base_sentences_per_s: Speed of the base; None without a base.
        speedup: Speed-up over the base; None without a base.
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
    """Estimated seconds of one call of each rival: `per_piece_s` per piece, at least `least_s`."""

    least_s: float
    per_piece_s: float

    def of_cell(self, bucket: Bucket, batch_size: int) -> float:
        """Return the seconds that a cell takes at least, with the warm-up."""
        return (LEAST_PAIRS + 1) * max(self.least_s, self.per_piece_s * bucket.pieces * batch_size)


def cell_of(bucket: Bucket, batch_size: int, seconds: NDArray[np.float64]) -> Cell:
    """Summarise the times of a model and, optionally, its base. *Shape:* (passes, batches, 1 or 2), in seconds"""
    passes, batches, rivals = seconds.shape
    per_s = batches * batch_size / np.median(seconds, axis=0).sum(axis=0)
    return Cell(
        bucket=bucket.name,
        pieces=bucket.pieces,
        batch_size=batch_size,
        pairs=passes * batches,
        sentences_per_s=float(per_s[0]),
        base_sentences_per_s=float(per_s[1]) if rivals > 1 else None,
        speedup=median_ratio(seconds[..., 1], seconds[..., 0]) if rivals > 1 else None,
    )


def time_cells(
    rivals: Sequence[Rival], buckets: Sequence[Bucket], cost: Cost, *, until: float, clock: Clock
) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """Time single texts and batches of 32 of each bucket, cheapest first.

    Args:
        rivals: The models to time.
        buckets: The texts.
        cost: Estimated cost of a call.
        until: Deadline, by the clock.
        clock: Seconds since some moment.

    Returns:
        The timed cells, and descriptions of the cells that did not fit before the deadline.
    """
    planned = [
        (cost.of_cell(bucket, batch_size), bucket, batch_size)
        for bucket in buckets
        for batch_size in (1, LARGEST_BATCH)
    ]
    planned.sort(key=lambda cell: cell[0])
    cells, left_out = [], []
    for index, (needed, bucket, batch_size) in enumerate(planned):
        remaining = max(0.0, until - clock())
        fitting_costs = _fitting([seconds for seconds, _, _ in planned[index:]], remaining)
        if not fitting_costs:
            left_out.append(f"{bucket.name}, {batch_size} at once (some {needed:.0f} s)")
            continue
        batches = [[text] for text in bucket.spread(LEAST_PAIRS)] if batch_size == 1 else [list(bucket.texts)]
        extra = (remaining - sum(fitting_costs)) / len(fitting_costs)
        cells.append(cell_of(bucket, batch_size, time_in_turn(rivals, batches, seconds=needed + extra, clock=clock)))
    return tuple(sorted(cells, key=lambda cell: (cell.pieces, cell.batch_size))), tuple(left_out)


def _fitting(costs: Sequence[float], left: float) -> Sequence[float]:
    """Return the first costs whose sum is at most `left`."""
    return costs[: sum(total <= left for total in accumulate(costs))]


BUDGET_S = 4.0
_SINGLE_SHARE, _BATCHED_SHARE = 0.15, 0.4
SINGLES = 20  # one for each twentieth of the lengths
BATCHES = 4


@dataclass(frozen=True, slots=True)
class Speed:
    """The measured speed of a model.

    Attributes:
        latency_p50_ms: Median latency of one of the data's own sentences.
        latency_p95_ms: 95th percentile.
        latency_p99_ms: 99th percentile; with fewer than 100 `single.pairs`, nearly the slowest call.
        single: The data's own sentences, one at a time.
        batched: The data's own sentences in batches of 32 of similar length, as encode() makes them.
        cells: Results by length and batch size.
        left_out: Descriptions of the cells that would have taken too long.
        conditions: Device and threads.
        seconds: Duration of the measurement.
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
        """Return all cells: own sentences first, then by length."""
        return (self.single, self.batched, *self.cells)

    def metrics(self) -> dict[str, float]:
        """Return the numbers by metric name; no speed-up without a base."""
        metrics = {
            "speed/latency_p50_ms": self.latency_p50_ms,
            "speed/latency_p95_ms": self.latency_p95_ms,
            "speed/latency_p99_ms": self.latency_p99_ms,
            "speed/sentences_per_s": self.batched.sentences_per_s,
            "speed/threads": float(self.conditions.threads),
        }
        if (speedup := self.batched.speedup) is not None:
            metrics |= {
                "speed/speedup": speedup.value,
                "speed/speedup_low": speedup.low,
                "speed/speedup_high": speedup.high,
            }
        return metrics


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
    """Time model and base alternately, call by call.

    A speed-up is the median of the paired ratios, with its 95 % interval.

    Args:
        model: The model to time.
        base: The base to compare with, if any; without it there is no speed-up.
        sentences: The data's own sentences.
        budget_s: About half goes to the data's own sentences, the rest to texts of other lengths. With a slow model,
            the other lengths get as much time as the own sentences took.
        singles: Minimum number of own sentences that are timed one at a time.
        batches: Number of batches of 32 own sentences, timed in at least two passes.
        clock: Seconds since some moment.
    """
    start_s, others = clock(), count_others()
    models = [model] if base is None else [model, base]
    rivals = [_encoding(timed) for timed in models]
    own_sentences = own_bucket(model, sentences)
    single_texts = [[text] for text in own_sentences.spread(singles)]
    single_times = time_in_turn(rivals, single_texts, seconds=budget_s * _SINGLE_SHARE, clock=clock)
    texts = own_sentences.spread(batches * LARGEST_BATCH)
    full_batches = [texts[start : start + LARGEST_BATCH] for start in range(0, len(texts), LARGEST_BATCH)]
    batch_times = time_in_turn(rivals, full_batches, seconds=budget_s * _BATCHED_SHARE, clock=clock)

    cost = Cost(
        float(np.median(single_times.sum(axis=2))),
        float(batch_times.sum(axis=2).mean()) / (own_sentences.pieces * LARGEST_BATCH),
    )
    until = start_s + max(budget_s, 2 * (clock() - start_s))
    buckets = length_buckets(model, sentences, min(map(longest, models)))
    cells, left_out = time_cells(rivals, buckets, cost, until=until, clock=clock)
    p50, p95, p99 = (float(latency) for latency in np.quantile(single_times[..., 0] * 1000, [0.5, 0.95, 0.99]))
    return Speed(
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        single=cell_of(own_sentences, 1, single_times),
        batched=cell_of(own_sentences, LARGEST_BATCH, batch_times),
        cells=cells,
        left_out=left_out,
        conditions=conditions_on(model.device, others=others()),
        seconds=clock() - start_s,
    )


def _encoding(model: SentenceTransformer) -> Rival:
    def encode(batch: list[str]) -> None:
        model.encode(batch, batch_size=len(batch), show_progress_bar=False)
        wait_for(model.device)

    return encode
