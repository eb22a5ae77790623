"""Sentence embeddings of a batch at one or several depths, in one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from sbert_prune.evaluation.correlation import spearman
from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.hooks import layer_hook
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training.batches import Tokens, tokenize_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow
    from sbert_prune.training.batches import Examples, Features
    from sbert_prune.training.device import Hardware

PIECES_AT_ONCE = 8_192  # of one forward pass: enough for a CPU, and for a GPU with small teachers


def embed_batch(model: SentenceTransformer, features: Features, hardware: Hardware, exits: tuple[int, ...] | None = None) -> torch.Tensor:
    """Embeddings after the given numbers of layers; None: after all of them. *Shape:* (exits, sentences, dim)

    An earlier exit gives what the model cut to so many layers would: its state passes the norm behind the last layer
    and all further modules.
    """
    encoder = encoder_of(model)
    depth = len(layers_of(encoder))
    wanted = (depth,) if exits is None else exits
    states: dict[int, torch.Tensor] = {}

    def see(index: int, given: torch.Tensor, returned: torch.Tensor) -> None:  # noqa: ARG001 - a LayerHook's signature
        if index in wanted:
            states[index] = given

    with hardware.autocast(), layer_hook(encoder, see) if set(wanted) != {depth} else nullcontext():
        output = model[0](dict(features))
        norm = architecture_of(str(encoder.config.model_type)).final_norm
        if norm:
            states = {index: encoder.get_submodule(norm)(state) for index, state in states.items()}
    states[depth] = output["token_embeddings"]
    return torch.stack([_behind_encoder(model, output | {"token_embeddings": states[index]}) for index in wanted])


def _behind_encoder(model: SentenceTransformer, features: dict[str, torch.Tensor]) -> torch.Tensor:
    # Pooling sums over tokens and normalises: in float32, where bfloat16 would lose the third digit of a similarity.
    features["token_embeddings"] = features["token_embeddings"].float()
    for module in list(model)[1:]:
        features = module(features)
    return features["sentence_embedding"]


def embed_tokens(
    model: SentenceTransformer,
    tokens: Tokens,
    hardware: Hardware,
    *,
    exits: tuple[int, ...] | None = None,
    tick: Callable[[], None] = lambda: None,
    pieces_at_once: int = PIECES_AT_ONCE,
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


@dataclass(frozen=True)
class DevPairs:
    """The dev pairs, tokenised, with their scores. *Shape of gold:* (pairs,)"""

    examples: Examples
    gold: NDArray[np.float64]

    @classmethod
    def of(cls, model: SentenceTransformer, rows: Sequence[StsRow]) -> DevPairs:
        """Tokenise checked pairs."""
        examples = tokenize_rows(model, [(row.sentence1, row.sentence2) for row in rows])
        return cls(examples, np.array([row.score for row in rows], dtype=np.float64))

    def with_examples(self, examples: Examples) -> DevPairs:
        """The same pairs with their pieces called by other numbers."""
        return replace(self, examples=examples)

    def score(self, model: SentenceTransformer, hardware: Hardware) -> float | None:
        """Spearman of cosine similarity, -1 to 1, in the precision of the training; None for a model without any order (collapsed).

        The model is left in training mode.
        """
        model.eval()
        vectors = embed_tokens(model, self.examples.tokens, hardware)[-1].astype(np.float64)
        model.train()
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        left, right = vectors[self.examples.index[:, 0]], vectors[self.examples.index[:, 1]]
        cosines = np.clip((left * right).sum(axis=1), -1.0, 1.0)
        cosines[self.examples.index[:, 0] == self.examples.index[:, 1]] = 1.0  # rounding must not rank a sentence and itself
        found = float(spearman(cosines[None], self.gold[None])[0])
        return found if np.isfinite(found) else None
