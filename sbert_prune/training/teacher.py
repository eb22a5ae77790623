"""A teacher's embeddings of sentences: computed once, kept by content, shared by all who ask for the same."""

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
        layers: Of the teacher, those that the student's layers were, where it is to be followed layer by layer.
        pieces_at_once: The most pieces in one forward pass.
    """

    source: SavedModel
    layers: tuple[int, ...] | None = None
    _: KW_ONLY
    pieces_at_once: int = PIECES_AT_ONCE

    def embed(self, texts: Sequence[str], hardware: Hardware, *, tick: Callable[[], None]) -> NDArray[np.floating[Any]]:
        """Embeddings at the exit behind each followed layer but the last, then the teacher's own.

        *Shape:* (exits, texts, dim), in half precision: cosines lose a ten-thousandth.
        """
        layers = ",".join(map(str, self.layers or ()))
        key = digest_of(self.source.checkpoint.fingerprint(), layers, hardware.precision, *texts)
        arrays = cached("teacher", key, lambda: {"embeddings": self.compute(texts, hardware, tick)})
        return arrays["embeddings"]  # type: ignore[return-value]

    def compute(self, texts: Sequence[str], hardware: Hardware, tick: Callable[[], None]) -> NDArray[np.float16]:
        """The same without a look at what was kept. *Shape:* (exits, texts, dim)"""
        model = load_saved(self.source.checkpoint).to(hardware.device).eval()
        depth = len(layers_of(encoder_of(model)))
        exits = (*(layer + 1 for layer in (self.layers or ())[:-1]), depth)
        tokens = tokenize(model, texts, tick=tick)
        vectors = embed_tokens(model, tokens, hardware, exits=exits, tick=tick, pieces_at_once=self.pieces_at_once)
        return vectors.astype(np.float16)
