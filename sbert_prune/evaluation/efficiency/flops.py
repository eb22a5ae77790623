"""The multiplications and additions that a sentence costs: what a model of less of them can gain at most."""

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
    """FLOPs of the products of one sentence: one multiplication and one addition are two.

    pieces: the sentence's length, special pieces counted.  of_base: what the base takes for the same sentence; None without a base.
    """

    pieces: int
    of_model: int
    of_base: int | None

    @property
    def speedup_limit(self) -> float | None:
        """The speed-up over the base if nothing but products took time; None without a base."""
        return None if self.of_base is None else self.of_base / self.of_model

    def metrics(self) -> dict[str, float]:
        """By their names in MLflow."""
        limit = self.speedup_limit
        return {"speed/flops_per_sentence": float(self.of_model)} | (
            {} if limit is None else {"speed/speedup_limit": limit}
        )


def measure_flops(model: SentenceTransformer, base: SentenceTransformer | None, sentences: Sequence[str]) -> Flops:
    """Count for the sentence whose length is nearest to the sentences' mean, in the model's pieces."""
    own = own_bucket(model, sentences)
    pieces = np.minimum(num_pieces(model, own.texts), longest(model))
    place = int(np.abs(pieces - own.pieces).argmin())
    sentence = own.texts[place]
    return Flops(int(pieces[place]), flops_of(model, sentence), None if base is None else flops_of(base, sentence))


def flops_of(model: SentenceTransformer, sentence: str) -> int:
    """FLOPs of the matrix products and convolutions that embed one sentence."""
    # torch 2.13 counts no fused attention on a CPU; taken apart into its products, it is counted everywhere alike.
    with _without_gradients(model), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.encode([sentence], show_progress_bar=False)
    return int(counter.get_total_flops())


@contextmanager
def _without_gradients(model: SentenceTransformer) -> Iterator[None]:
    """The counter hooks into every module, and fails where one is given a parameter that wants gradients, as DeBERTa's norm is."""
    wanting = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanting:
        parameter.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for parameter in wanting:
            parameter.requires_grad_(requires_grad=True)
