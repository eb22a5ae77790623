"""Embeddings of a sentence model for many layer selections; layers shared at the start of selections run once."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sbert_prune.errors import DataError
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.hooks import evaluating
from sbert_prune.models.sentence import encoder_of, pool, preprocess, with_encoder
from sbert_prune.pruning import prune_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.layers import LayerSelection
    from sbert_prune.training.device import Hardware

_BATCH = 64


def embed_subsets(
    model: SentenceTransformer, selections: Iterable[LayerSelection], sentences: Sequence[str], hardware: Hardware
) -> Iterator[tuple[LayerSelection, NDArray[np.float32]]]:
    """Yield the embeddings of the model cut to each selection, without training. The model is not changed.

    Selections are sorted by their kept layers, so that each one continues from the layers that it shares with the
    previous one. The intermediate states stay in memory: about 60 MB per layer for 1,000 sentences of 20 pieces, 768
    wide.

    Args:
        model: The sentence model.
        selections: The selections.
        sentences: The sentences.
        hardware: Device and precision.

    Yields:
        Each selection and its embeddings, in the order of the sentences. *Shape of each:* (sentences, dim)

    Raises:
        DataError: There are no sentences.
    """
    if not sentences:
        raise DataError("Selections cannot be compared without a sentence. Give some of the training sentences.")
    model.to(hardware.device)
    encoder = encoder_of(model)
    rest = deepcopy(model, {id(encoder): encoder})
    order = sorted(range(len(sentences)), key=lambda index: -len(sentences[index]))
    starts = range(0, len(order), _BATCH)
    batches = [
        _Batch(model, [sentences[index] for index in order[start : start + _BATCH]], hardware) for start in starts
    ]
    original_order = np.argsort(order)  # undoes the sorting
    for selection in sorted(set(selections), key=lambda selection: selection.kept):
        with evaluating(model):
            cut = with_encoder(rest, prune_layers(encoder, selection, share_weights=True)).eval()
            vectors = [batch.embed(cut, selection.kept) for batch in batches]
        yield selection, torch.cat(vectors).numpy()[original_order]


class _Batch:
    """A batch of sentences with the outputs of the layers of the last selection."""

    def __init__(self, model: SentenceTransformer, sentences: list[str], hardware: Hardware) -> None:
        self._features = preprocess(model, sentences, hardware.device)
        self._hardware = hardware
        self._kept: tuple[int, ...] = ()
        self._outputs: list[Any] = []

    def embed(self, cut: SentenceTransformer, kept: tuple[int, ...]) -> torch.Tensor:
        """Run the layers that the previous selection has not run. *Shape:* (sentences, dim)"""
        num_shared = 0
        while num_shared < min(len(kept), len(self._kept)) and kept[num_shared] == self._kept[num_shared]:
            num_shared += 1
        del self._outputs[num_shared:]
        self._kept = kept
        layers = list(layers_of(encoder_of(cut)))
        for layer, output in zip(layers[:num_shared], self._outputs, strict=True):
            layer.forward = _stored_forward(output)
        handles = [
            layer.register_forward_hook(lambda _layer, _args, output: self._outputs.append(output))
            for layer in layers[num_shared:]
        ]
        features = self._features.copy()
        with self._hardware.autocast():
            features = cut[0](features)
        vectors = pool(cut, features | {"token_embeddings": features["token_embeddings"].float()})
        for handle in handles:
            handle.remove()
        for layer in layers[:num_shared]:
            del layer.forward
        return vectors[:, : cut.truncate_dim].float().cpu()


def _stored_forward(output: Any) -> Any:
    """Return a forward function that returns a stored output."""
    return lambda *_args, **_kwargs: output
