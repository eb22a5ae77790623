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
from sbert_prune.models.sentence import encoder_of, pool
from sbert_prune.training.batches import Tokens, tokenize_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow
    from sbert_prune.training.batches import Examples, Features
    from sbert_prune.training.device import Hardware

PIECES_AT_ONCE = 8_192  # in one forward pass: enough for a CPU, and for a GPU with small teachers


def embed_batch(
    model: SentenceTransformer, features: Features, hardware: Hardware, exits: tuple[int, ...] | None = None
) -> torch.Tensor:
    """Embed a batch at one or several depths in one forward pass.

    An earlier exit gives the embedding of the model cut to that many layers: its state passes the norm after the last
    layer and all further modules.

    Args:
        model: The sentence model.
        features: The tokenised sentences.
        hardware: The device and precision.
        exits: After how many layers the embeddings are taken; None: after all of them.

    Returns:
        The embeddings. *Shape:* (exits, sentences, dim)
    """
    encoder = encoder_of(model)
    depth = len(layers_of(encoder))
    depths = (depth,) if exits is None else exits
    states: dict[int, torch.Tensor] = {}

    def record(index: int, given: torch.Tensor, returned: torch.Tensor) -> None:  # noqa: ARG001 - a LayerHook's signature
        if index in depths:
            states[index] = given

    with hardware.autocast(), layer_hook(encoder, record) if set(depths) != {depth} else nullcontext():
        output = model[0](dict(features))
        norm = architecture_of(str(encoder.config.model_type)).final_norm
        if norm:
            states = {index: encoder.get_submodule(norm)(state) for index, state in states.items()}
    states[depth] = output["token_embeddings"]
    # Pooling sums over tokens and normalises. In bfloat16 a similarity would lose its third digit.
    return torch.stack([pool(model, output | {"token_embeddings": states[index].float()}) for index in depths])


def embed_tokens(
    model: SentenceTransformer,
    tokens: Tokens,
    hardware: Hardware,
    *,
    exits: tuple[int, ...] | None = None,
    tick: Callable[[float], None] = lambda _: None,
    pieces_at_once: int = PIECES_AT_ONCE,
) -> NDArray[np.float32]:
    """Embed tokenised sentences, longest first.

    Args:
        model: The sentence model.
        tokens: The sentences.
        hardware: The device and precision.
        exits: After how many layers the embeddings are taken; None: after all of them.
        tick: Called before each forward pass with the share that is done; an exception that it raises ends the work.
        pieces_at_once: The most pieces in one forward pass. A longer sentence gets a pass of its own.

    Returns:
        The embeddings. *Shape:* (exits, sentences, dim)
    """
    order = np.argsort(-tokens.lengths, kind="stable")
    embeddings: NDArray[np.float32] | None = None
    done = 1 - np.cumsum(tokens.lengths[order][::-1])[::-1] / max(1, int(tokens.lengths.sum()))
    pad_id = int(model.tokenizer.pad_token_id or 0)
    start = 0
    with torch.inference_mode():
        while start < len(order):
            tick(float(done[start]))
            size = max(1, pieces_at_once // max(1, int(tokens.lengths[order[start]])))
            numbers = order[start : start + size]
            features = tokens.features(numbers, pad_id, hardware.device)
            vectors = embed_batch(model, features, hardware, exits).cpu().numpy()
            if embeddings is None:
                embeddings = np.empty((vectors.shape[0], len(order), vectors.shape[2]), dtype=np.float32)
            embeddings[:, numbers] = vectors
            start += size
    assert embeddings is not None  # callers pass at least one sentence
    return embeddings


@dataclass(frozen=True)
class DevPairs:
    """The tokenised dev pairs and their scores.

    Attributes:
        examples: The tokenised pairs.
        gold: The labelled scores. *Shape:* (pairs,)
    """

    examples: Examples
    gold: NDArray[np.float64]

    @classmethod
    def of(cls, model: SentenceTransformer, rows: Sequence[StsRow]) -> DevPairs:
        """Tokenise checked pairs."""
        examples = tokenize_rows(model, [(row.sentence1, row.sentence2) for row in rows])
        return cls(examples, np.array([row.score for row in rows], dtype=np.float64))

    def with_examples(self, examples: Examples) -> DevPairs:
        """Return the same pairs with other token ids."""
        return replace(self, examples=examples)

    def score(self, model: SentenceTransformer, hardware: Hardware) -> float | None:
        """Return Spearman's correlation of cosine similarity and score, -1 to 1, in the precision of the training.

        It is None for a collapsed model, whose similarities have no order. The model is left in training mode.
        """
        model.eval()
        vectors = embed_tokens(model, self.examples.tokens, hardware)[-1].astype(np.float64)
        model.train()
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        left, right = vectors[self.examples.index[:, 0]], vectors[self.examples.index[:, 1]]
        cosines = np.clip((left * right).sum(axis=1), -1.0, 1.0)
        # Rounding must not rank pairs of a sentence and itself.
        cosines[self.examples.index[:, 0] == self.examples.index[:, 1]] = 1.0
        score = float(spearman(cosines[None], self.gold[None])[0])
        return score if np.isfinite(score) else None
