"""What a sentence model says with some of its layers, for many selections at once: what they begin with alike runs once."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sbert_prune.errors import DataError
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.hooks import evaluating
from sbert_prune.models.sentence import encoder_of, with_encoder
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
    """The embeddings that the model would give if it were cut to each selection, without training; the model stays as it was.

    Comes in the order of the kept layers, so that a selection goes on from where the one before has the same layers. The states in
    between are kept: for 1,000 sentences of 20 pieces, 768 wide, some 60 MB a layer.

    *Shape of each:* (sentences, dim), in the order given.  Raises DataError without a sentence.
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
    given = np.argsort(order)  # back from the sorted order
    for selection in sorted(set(selections), key=lambda one: one.kept):
        with evaluating(model):
            cut = with_encoder(rest, prune_layers(encoder, selection, share_weights=True)).eval()
            vectors = [batch.embed(cut, selection.kept) for batch in batches]
        yield selection, torch.cat(vectors).numpy()[given]


class _Batch:
    """Some sentences, with what each layer of the last selection returned for them."""

    def __init__(self, model: SentenceTransformer, sentences: list[str], hardware: Hardware) -> None:
        features = model.preprocess(sentences, prompt=model.prompts.get(model.default_prompt_name))  # as encode() does
        self._features = {
            name: value.to(hardware.device) if isinstance(value, torch.Tensor) else value
            for name, value in features.items()
        }
        self._hardware = hardware
        self._kept: tuple[int, ...] = ()
        self._returned: list[Any] = []

    def embed(self, cut: SentenceTransformer, kept: tuple[int, ...]) -> torch.Tensor:
        """Run what the selection before has not run already. *Shape:* (sentences, dim)"""
        alike = 0
        while alike < min(len(kept), len(self._kept)) and kept[alike] == self._kept[alike]:
            alike += 1
        del self._returned[alike:]
        self._kept = kept
        layers = list(layers_of(encoder_of(cut)))
        for layer, returned in zip(layers[:alike], self._returned, strict=True):
            layer.forward = _answering(returned)
        handles = [
            layer.register_forward_hook(lambda _layer, _given, returned: self._returned.append(returned))
            for layer in layers[alike:]
        ]
        features = self._features.copy()
        with self._hardware.autocast():
            features = cut[0](features)
        features["token_embeddings"] = features["token_embeddings"].float()
        for module in list(cut)[1:]:
            features = module(features)
        for handle in handles:
            handle.remove()
        for layer in layers[:alike]:
            del layer.forward
        vectors: torch.Tensor = features["sentence_embedding"]
        return vectors[:, : cut.truncate_dim].float().cpu()


def _answering(returned: Any) -> Any:
    """A forward pass that was done before."""
    return lambda *_given, **_named: returned
