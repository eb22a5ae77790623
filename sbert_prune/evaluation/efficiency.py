"""Size and speed of a sentence model, beside the base it was cut from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.sentence import encoder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.checkpoint import Checkpoint

_SINGLE, _BATCH, _ROUNDS = 60, 128, 5


@dataclass(frozen=True, slots=True)
class Size:
    """parameters: of the whole sentence model; embedding_parameters: its word embeddings alone."""

    parameters: int
    embedding_parameters: int
    disk_mb: float


@dataclass(frozen=True, slots=True)
class Speed:
    """latency: one sentence, in milliseconds; sentences_per_s: in batches of 32; speedup: over the base, in sentences/s."""

    latency_p50_ms: float
    latency_p95_ms: float
    sentences_per_s: float
    speedup: float


def measure_size(model: SentenceTransformer, checkpoint: Checkpoint) -> Size:
    """Count parameters, and the bytes of the saved folder (in units of 1,000,000)."""
    words = encoder_of(model).get_input_embeddings()
    return Size(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        embedding_parameters=sum(parameter.numel() for parameter in words.parameters()),
        disk_mb=checkpoint.num_bytes() / 1e6,
    )


def measure_speed(model: SentenceTransformer, base: SentenceTransformer, sentences: Sequence[str]) -> Speed:
    """Time model and base in turn, so that a busy machine slows both; the speed-up is the median of the pairs' ratios."""
    single = _cycle(sentences, _SINGLE)
    batch = _cycle(sentences, _BATCH)
    for warm_up in (model, base):
        _seconds(warm_up, batch[:32])
    latencies = np.array([_seconds(model, [sentence]) for sentence in single]) * 1000
    pairs = np.array([(_seconds(base, batch), _seconds(model, batch)) for _ in range(_ROUNDS)])
    return Speed(
        latency_p50_ms=float(np.quantile(latencies, 0.50)),
        latency_p95_ms=float(np.quantile(latencies, 0.95)),
        sentences_per_s=_BATCH / float(np.median(pairs[:, 1])),
        speedup=float(np.median(pairs[:, 0] / pairs[:, 1])),
    )


def _cycle(sentences: Sequence[str], count: int) -> list[str]:
    return [sentences[number % len(sentences)] for number in range(count)]


def _seconds(model: SentenceTransformer, sentences: list[str]) -> float:
    start = time.perf_counter()
    model.encode(sentences, batch_size=32, show_progress_bar=False)
    return time.perf_counter() - start
