"""The one place that knows where Transformers keeps the layers of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from sbert_prune.errors import EncoderError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where one family of encoders keeps its layers.

    layers: path of the list of layers, seen from the encoder.
    depth_keys: the keys of config.json that hold the number of layers; the first is what Transformers reads.
    """

    layers: str = "encoder.layer"
    depth_keys: tuple[str, ...] = ("num_hidden_layers",)


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(),
    "roberta": Architecture(),
    "xlm-roberta": Architecture(),
    "camembert": Architecture(),
    "mpnet": Architecture(),
    "electra": Architecture(),
    "distilbert": Architecture(layers="transformer.layer", depth_keys=("n_layers",)),
}
"""By `model_type` of config.json. One row more supports one architecture more; tests/library/test_pruning.py holds its laws."""


def architecture_of(model_type: str) -> Architecture:
    """Look an architecture up. Raises EncoderError naming the type and where a row can be added."""
    if model_type in ARCHITECTURES:
        return ARCHITECTURES[model_type]
    near = get_close_matches(model_type, ARCHITECTURES, n=1)
    hint = f" The nearest known type is {near[0]!r}." if near else ""
    raise EncoderError(
        f"Encoders of the type {model_type!r} are not known: sbert-prune has to know where such a model keeps its layers.{hint} "
        f"Known types: {', '.join(ARCHITECTURES)}. To add one, write a row into ARCHITECTURES in sbert_prune/encoders.py."
    )


def depth_in_config(config: dict[str, Any]) -> int:
    """Number of layers that a parsed config.json announces."""
    architecture = architecture_of(str(config.get("model_type")))
    for key in (*architecture.depth_keys, "num_hidden_layers"):
        if isinstance(config.get(key), int):
            return int(config[key])
    raise EncoderError(f"config.json of this {config.get('model_type')} holds no {architecture.depth_keys[0]}, so its depth is not known.")


def layers_of(encoder: PreTrainedModel) -> nn.ModuleList:
    """The list of layers, layer 0 next to the embeddings. Raises EncoderError where the class keeps none there."""
    path = architecture_of(str(encoder.config.model_type)).layers
    try:
        return cast("nn.ModuleList", encoder.get_submodule(path))
    except AttributeError as error:
        raise EncoderError(
            f"{type(encoder).__name__} has no {path!r}, where encoders of the type {encoder.config.model_type!r} keep their layers. "
            "Give the bare encoder (AutoModel), or correct its row in ARCHITECTURES in sbert_prune/encoders.py."
        ) from error


def set_layers(encoder: PreTrainedModel, layers: nn.ModuleList) -> None:
    """Put a new list of layers in, and let the config say its length.

    Both in one function because a config that still announces the old depth reloads without an error, with random layers.
    """
    encoder.set_submodule(architecture_of(str(encoder.config.model_type)).layers, layers)
    encoder.config.num_hidden_layers = len(layers)  # Transformers maps this name to the architecture's own key
    for index, layer in enumerate(layers):
        for module in layer.modules():
            if "layer_idx" in vars(module):
                vars(module)["layer_idx"] = index  # what caches and attention backends call the layer by
