"""A teacher's embeddings of sentences, cached by the content of teacher and sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import encoder_of, load_saved
from sbert_prune.system.cache import cached
from sbert_prune.training.batches import digest_of, tokenize
from sbert_prune.training.embedding import PIECES_AT_ONCE, embed_tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.training.device import Hardware


@dataclass(frozen=True)
class Teacher:
    """A saved model whose embeddings are the target.

    Attributes:
        source: The saved model.
        layers: The teacher's layers that correspond to the student's, if the student learns layer by layer.
        pieces_at_once: The most pieces in one forward pass.
    """

    source: SavedModel
    layers: tuple[int, ...] | None = None
    _: KW_ONLY
    pieces_at_once: int = PIECES_AT_ONCE

    def embed(
        self, texts: Sequence[str], hardware: Hardware, *, tick: Callable[[float], None]
    ) -> NDArray[np.floating[Any]]:
        """Return the teacher's embeddings, from the cache if they are there.

        Args:
            texts: The sentences.
            hardware: The device and precision.
            tick: Called before each part of the work with the share that is done; an exception that it raises ends it.

        Returns:
            The embeddings after each of `layers` but the last, then the teacher's own, in half precision, which changes
            cosines by a ten-thousandth. *Shape:* (exits, texts, dim)
        """
        layers = ",".join(map(str, self.layers or ()))
        key = digest_of(self.source.checkpoint.fingerprint(), layers, hardware.precision, *texts)
        arrays = cached("teacher", key, lambda: {"embeddings": self.compute(texts, hardware, tick)})
        return arrays["embeddings"]  # type: ignore[return-value]

    def compute(self, texts: Sequence[str], hardware: Hardware, tick: Callable[[float], None]) -> NDArray[np.float16]:
        """Return the same as `embed` without using the cache. *Shape:* (exits, texts, dim)"""
        model = load_saved(self.source.checkpoint).to(hardware.device).eval()
        depth = len(layers_of(encoder_of(model)))
        exits = (*(layer + 1 for layer in (self.layers or ())[:-1]), depth)
        tokens = tokenize(model, texts, tick=lambda _: tick(0.0))
        vectors = embed_tokens(model, tokens, hardware, exits=exits, tick=tick, pieces_at_once=self.pieces_at_once)
        return vectors.astype(np.float16)
