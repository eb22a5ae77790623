"""Cutting layers out of an encoder in memory."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from sbert_prune.encoders import layers_of, set_layers
from sbert_prune.errors import SelectionError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from sbert_prune.layers import LayerSelection


def prune_layers(encoder: PreTrainedModel, selection: LayerSelection) -> PreTrainedModel:
    """Return a copy of the encoder that has only the kept layers; the encoder itself stays as it was.

    Keeping 0..k-1 makes its output equal `hidden_states[k]` of the full encoder. Dropped layers are never copied.
    Raises SelectionError when the selection was made for another depth.
    """
    from torch import nn

    layers = layers_of(encoder)
    if selection.depth != len(layers):
        raise SelectionError(f"The selection {selection} was made for {selection.depth} layers; this encoder has {len(layers)}.")
    memo: dict[int, Any] = {}
    kept = nn.ModuleList([deepcopy(layers[index], memo) for index in selection.kept])
    kept.training = layers.training
    memo[id(layers)] = kept  # deepcopy finds the whole list here and so leaves the dropped layers alone
    pruned = deepcopy(encoder, memo)
    set_layers(pruned, kept)
    return pruned
