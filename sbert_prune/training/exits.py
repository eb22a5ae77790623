"""Sentence embeddings of a batch at one or several depths, in one forward pass."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from sbert_prune.encoders import architecture_of, layers_of
from sbert_prune.layer_states import watched
from sbert_prune.sentence import encoder_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from sbert_prune.training.examples import Features
    from sbert_prune.training.hardware import Hardware


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
