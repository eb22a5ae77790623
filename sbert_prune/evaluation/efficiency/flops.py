"""FLOPs per sentence, which bound the speed-up of a smaller model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sbert_prune.evaluation.efficiency.lengths import longest, num_pieces, own_bucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of the matrix products of one sentence; a multiplication and an addition count as two.

    Attributes:
        pieces: Length of the sentence in pieces, special pieces included.
        of_model: FLOPs of the model.
        of_base: FLOPs of the base for the same sentence; None without a base.
    """

    pieces: int
    of_model: int
    of_base: int | None

    @property
    def speedup_limit(self) -> float | None:
        """Return the speed-up over the base if only matrix products took time, or None without a base."""
        return None if self.of_base is None else self.of_base / self.of_model

    def metrics(self) -> dict[str, float]:
        """Return the numbers by metric name."""
        limit = self.speedup_limit
        return {"speed/flops_per_sentence": float(self.of_model)} | (
            {} if limit is None else {"speed/speedup_limit": limit}
        )


def measure_flops(model: SentenceTransformer, base: SentenceTransformer | None, sentences: Sequence[str]) -> Flops:
    """Count FLOPs on the sentence whose length, in pieces of the model, is nearest to the mean."""
    bucket = own_bucket(model, sentences)
    pieces = np.minimum(num_pieces(model, bucket.texts), longest(model))
    index = int(np.abs(pieces - bucket.pieces).argmin())
    sentence = bucket.texts[index]
    return Flops(int(pieces[index]), flops_of(model, sentence), None if base is None else flops_of(base, sentence))


def flops_of(model: SentenceTransformer, sentence: str) -> int:
    """Count the FLOPs of the matrix products and convolutions that embed one sentence."""
    # torch 2.13 does not count fused attention on a CPU; the unfused version is counted on every device.
    with _without_gradients(model), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.encode([sentence], show_progress_bar=False)
    return int(counter.get_total_flops())


@contextmanager
def _without_gradients(model: SentenceTransformer) -> Iterator[None]:
    """Disable gradients: the counter's module hooks fail on a module whose input requires them (DeBERTa's norm)."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(requires_grad=True)
