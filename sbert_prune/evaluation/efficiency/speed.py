"""How fast a sentence model is, timed in turn with its base: one sentence, batches, and texts of several lengths."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.evaluation.efficiency.cells import Cell, Cost, cell_of, time_cells
from sbert_prune.evaluation.efficiency.conditions import Conditions, conditions_on, wait_for
from sbert_prune.evaluation.efficiency.lengths import LARGEST_BATCH, length_buckets, longest, own_bucket
from sbert_prune.evaluation.efficiency.timing import time_in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.evaluation.efficiency.timing import Clock, Rival

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
            found |= {"speed/speedup": speedup.value, "speed/speedup_low": speedup.low, "speed/speedup_high": speedup.high}
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
