"""The one place that knows where Transformers keeps the layers of an encoder."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from sbert_prune.errors import EncoderError, SelectionError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from sbert_prune.layers import LayerSelection


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where one family of encoders keeps its layers, and what is particular about them.

    layers: path of the list of layers, seen from the encoder.
    depth_keys: the keys of config.json that hold the number of layers; the first is what Transformers reads.
    word_embeddings: path of the module with one row a piece.
    final_norm: path of the norm behind the last layer, where there is one; a layer's own output has not passed it.
    per_layer_keys: the lists in the config that hold one entry a layer.
    first_has: parts that layer 0 alone has and every layer uses; they go to whichever layer comes first.
    first_lacks: parts that layer 0 alone does without; then it has to stay, for a saved model cannot say so of another.
    prefix: what a model with a head puts before its encoder's names; Transformers looks for the encoder there, and nowhere else.
    not_encoder: how the names of tensors begin that belong to no sentence encoder, in a checkpoint of the whole model.
    positions_behind_padding: whether the first position's number is the padding piece's plus one.
    """

    layers: str = "encoder.layer"
    prefix: str = "bert."
    depth_keys: tuple[str, ...] = ("num_hidden_layers",)
    word_embeddings: str = "embeddings.word_embeddings"
    final_norm: str | None = None
    per_layer_keys: tuple[str, ...] = ()
    first_has: tuple[str, ...] = ()
    first_lacks: tuple[str, ...] = ()
    not_encoder: tuple[str, ...] = ()
    positions_behind_padding: bool = False


_ROBERTA = Architecture(prefix="roberta.", positions_behind_padding=True)
_DECODER = Architecture(layers="layers", prefix="model.", word_embeddings="embed_tokens", final_norm="norm")
_TYPED_DECODER = Architecture(
    layers="layers", prefix="model.", word_embeddings="embed_tokens", final_norm="norm", per_layer_keys=("layer_types",)
)
_T5 = Architecture(
    layers="encoder.block",
    prefix="transformer.",
    depth_keys=("num_layers",),
    word_embeddings="shared",
    final_norm="encoder.final_layer_norm",
    first_has=("layer.0.SelfAttention.relative_attention_bias",),
    not_encoder=("decoder.", "lm_head."),
)

ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": replace(_ROBERTA, prefix="mpnet."),
    "electra": Architecture(prefix="electra."),
    "distilbert": Architecture(layers="transformer.layer", prefix="distilbert.", depth_keys=("n_layers",)),
    "deberta-v2": Architecture(prefix="deberta."),
    "modernbert": Architecture(
        layers="layers",
        prefix="model.",
        word_embeddings="embeddings.tok_embeddings",
        final_norm="final_norm",
        per_layer_keys=("layer_types",),
        first_lacks=("attn_norm",),
    ),
    "t5": _T5,
    "mt5": _T5,
    "llama": _DECODER,
    "mistral": _DECODER,
    "qwen2": _TYPED_DECODER,
    "qwen3": _TYPED_DECODER,
    "gemma": _DECODER,
    "gemma2": _TYPED_DECODER,
    "gemma3_text": _TYPED_DECODER,
}
"""By `model_type` of config.json. One row more supports one architecture more; tests/library/test_pruning.py holds its laws."""

SHARED_LAYERS = {"albert": "runs one and the same layer again and again"}
"""Encoders that have no layers of their own to drop, and why."""


def architecture_of(model_type: str, class_name: str = "") -> Architecture:
    """Look an architecture up. Raises EncoderError naming the type, the class where it is known, and where a row can be added."""
    if model_type in ARCHITECTURES:
        return ARCHITECTURES[model_type]
    if model_type in SHARED_LAYERS:
        raise EncoderError(
            f"Encoders of the type {model_type!r} cannot be pruned: such an encoder {SHARED_LAYERS[model_type]}, so dropping layers "
            "would save no parameter. Take an encoder whose layers have weights of their own, a bert or a roberta, say."
        )
    near = get_close_matches(model_type, ARCHITECTURES, n=1)
    hint = f" The nearest known type is {near[0]!r}." if near else ""
    named = f"{model_type!r} ({class_name})" if class_name else repr(model_type)
    raise EncoderError(
        f"Encoders of the type {named} are not known: sbert-prune has to know where such a model keeps its list of layers "
        f"(encoder.layer, say), their number and its word embeddings.{hint} Known types: {', '.join(ARCHITECTURES)}. "
        "To add one, write a row into ARCHITECTURES in sbert_prune/models/architectures.py."
    )


def depth_in_config(config: dict[str, Any]) -> int:
    """Number of layers that a parsed config.json announces."""
    classes = config.get("architectures")
    architecture = architecture_of(str(config.get("model_type")), str(classes[0]) if isinstance(classes, list) and classes else "")
    for key in (*architecture.depth_keys, "num_hidden_layers"):
        if isinstance(config.get(key), int):
            return int(config[key])
    raise EncoderError(f"config.json of this {config.get('model_type')} holds no {architecture.depth_keys[0]}, so its depth is not known.")


def check_selection(model_type: str, selection: LayerSelection) -> None:
    """Refuse a selection that a saved model of this architecture could not hold. Raises SelectionError."""
    architecture = architecture_of(model_type)
    if architecture.first_lacks and 0 not in selection.kept:
        fixed = ",".join(map(str, (0, *selection.kept[1:])))
        raise SelectionError(
            f"Layers {selection} leave out layer 0, which has to stay in a {model_type}: it alone has no {architecture.first_lacks[0]}, "
            f"and whichever layer came first would lose its own as soon as it is loaded again. Did you mean layers={fixed}?"
        )


def config_after(config: dict[str, Any], selection: LayerSelection) -> dict[str, Any]:
    """A parsed config.json that announces the kept layers alone: their number, and every list with an entry a layer."""
    architecture = architecture_of(str(config["model_type"]))
    lists = {key: _per_layer_list(config, key) for key in architecture.per_layer_keys}
    number = {key: selection.num_layers for key in (*architecture.depth_keys, "num_hidden_layers") if key in config}
    return config | number | {key: [entries[index] for index in selection.kept] for key, entries in lists.items()}


def _per_layer_list(config: dict[str, Any], key: str) -> list[Any]:
    if config.get(key) is not None:
        if not isinstance(config[key], list) or len(config[key]) != depth_in_config(config):
            depth = depth_in_config(config)
            raise EncoderError(
                f"config.json of this {config['model_type']} should list one entry a layer under {key!r}, {depth} in all. "
                "Restore it from where the model came from."
            )
        return list(config[key])
    # Configs of old leave the list out: Transformers makes it from a rule about a layer's number, which no longer holds after a cut.
    from transformers import AutoConfig

    given = {name: value for name, value in config.items() if name != "model_type"}
    return list(getattr(AutoConfig.for_model(config["model_type"], **given), key))


def layers_of(encoder: PreTrainedModel) -> nn.ModuleList:
    """The list of layers, layer 0 next to the embeddings. Raises EncoderError where the class keeps none there."""
    path = architecture_of(str(encoder.config.model_type), type(encoder).__name__).layers
    try:
        return cast("nn.ModuleList", encoder.get_submodule(path))
    except AttributeError as error:
        raise EncoderError(
            f"{type(encoder).__name__} has no {path!r}, where encoders of the type {encoder.config.model_type!r} keep their layers. "
            "Give the bare encoder (AutoModel), or correct its row in ARCHITECTURES in sbert_prune/models/architectures.py."
        ) from error


def set_layers(encoder: PreTrainedModel, layers: nn.ModuleList, selection: LayerSelection) -> None:
    """Put the kept layers in, and let the config follow: their number, and every list with an entry a layer.

    Both in one function because a config that still announces the old depth reloads without an error, with random layers.
    """
    architecture = architecture_of(str(encoder.config.model_type))
    encoder.set_submodule(architecture.layers, layers)
    encoder.config.num_hidden_layers = len(layers)  # Transformers maps this name to the architecture's own key
    for key in architecture.per_layer_keys:
        setattr(encoder.config, key, [getattr(encoder.config, key)[index] for index in selection.kept])
    for index, layer in enumerate(layers):
        for module in layer.modules():
            if "layer_idx" in vars(module):
                vars(module)["layer_idx"] = index  # what caches and attention backends call the layer by


def hand_on_first(model_type: str, old: nn.Module, new: nn.Module) -> None:
    """Give a layer that comes first what the old first layer had for all of them."""
    for path in architecture_of(model_type).first_has:
        owner, _, name = path.rpartition(".")
        setattr(new.get_submodule(owner), name, deepcopy(old.get_submodule(path)))
        setattr(new.get_submodule(owner), f"has_{name}", True)  # T5's attention asks this flag
