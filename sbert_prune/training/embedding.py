"""Sentence embeddings of a batch at one or several depths, in one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.hooks import watched
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training.batches import Tokens

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from sbert_prune.training.batches import Features
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

    def see(index: int, given: torch.Tensor, returned: torch.Tensor) -> None:  # noqa: ARG001 - a Watcher's signature
        if index in wanted:
            states[index] = given

    with hardware.autocast(), watched(encoder, see) if set(wanted) != {depth} else nullcontext():
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
