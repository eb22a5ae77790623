"""A teacher's embeddings of sentences: computed once, kept by content, shared by all who ask for the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sbert_prune.cache import cached
from sbert_prune.encoders import layers_of
from sbert_prune.sentence import encoder_of, load_saved
from sbert_prune.training.examples import digest_of, tokenize
from sbert_prune.training.exits import embed_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.saved_model import SavedModel
    from sbert_prune.training.examples import Tokens
    from sbert_prune.training.hardware import Hardware

_PIECES_AT_ONCE = 8_192  # of one forward pass: enough for a CPU, and for a GPU with small teachers


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
    pieces_at_once: int = _PIECES_AT_ONCE

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


def embed_tokens(
    model: SentenceTransformer,
    tokens: Tokens,
    hardware: Hardware,
    *,
    exits: tuple[int, ...] | None = None,
    tick: Callable[[], None] = lambda: None,
    pieces_at_once: int = _PIECES_AT_ONCE,
) -> NDArray[np.float32]:
    """Embed tokenised sentences, longest first.

    Args:
        model: The sentence model.
        tokens: The sentences.
        hardware: What the forward passes run on.
        exits: Behind how many layers the embeddings are taken; None takes the model's own.
        tick: Called before each forward pass; an exception that it raises ends the work.
        pieces_at_once: The most pieces in one forward pass. A longer sentence has a pass to itself.

    Returns:
        The embeddings. *Shape:* (exits, sentences, dim)
    """
    order = np.argsort(-tokens.lengths, kind="stable")
    found: NDArray[np.float32] | None = None
    pad_id = int(model.tokenizer.pad_token_id or 0)
    start = 0
    with torch.inference_mode():
        while start < len(order):
            tick()
            size = max(1, pieces_at_once // max(1, int(tokens.lengths[order[start]])))
            numbers = order[start : start + size]
            vectors = embed_batch(model, tokens.features(numbers, pad_id, hardware.device), hardware, exits).cpu().numpy()
            if found is None:
                found = np.empty((vectors.shape[0], len(order), vectors.shape[2]), dtype=np.float32)
            found[:, numbers] = vectors
            start += size
    assert found is not None  # nobody asks for the embeddings of no sentence
    return found
