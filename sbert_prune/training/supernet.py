"""Shared weights: each batch trains another random selection of layers, so every selection can be scored afterwards.

The layers are those of one model; a selection trains its own layers and leaves the others unchanged (one-shot
architecture search: Guo et al. 2020, "Single Path One-Shot", arXiv 1904.00420, draw paths as evenly).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.layers import LayerSelection
from sbert_prune.models.sentence import encoder_of, with_encoder
from sbert_prune.pruning import prune_layers

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Subsets:
    """Random selections that depend only on the seed and the batch.

    Attributes:
        depth: The number of layers of the model.
        counts: How many layers the selections keep; each count is drawn equally often.
        seed: Decides the selections.
        first_stays: Whether layer 0 is always kept.
    """

    depth: int
    counts: tuple[int, ...]
    seed: int
    first_stays: bool = False

    def at(self, batch_number: int) -> LayerSelection:
        """Return the selection that this batch trains."""
        generator = np.random.default_rng((self.seed, batch_number))
        count = int(generator.choice(self.counts))
        if self.first_stays:
            kept = [0, *(1 + generator.choice(self.depth - 1, count - 1, replace=False))]
        else:
            kept = list(generator.choice(self.depth, count, replace=False))
        return LayerSelection(tuple(sorted(map(int, kept))), self.depth)


@contextmanager
def thinned(model: SentenceTransformer, selection: LayerSelection) -> Iterator[None]:
    """Run the model with only the kept layers inside the context; their weights are shared and get gradients."""
    whole = encoder_of(model)
    with_encoder(model, prune_layers(whole, selection, share_weights=True))
    try:
        yield
    finally:
        with_encoder(model, whole)
