"""Supported architectures: where Transformers keeps the layers of each encoder, and what else differs between them."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from sbert_prune.errors import EncoderError, SelectionError
from sbert_prune.layers import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from sbert_prune.layers import LayerSelection


_AFFINE = r"\.(weight|bias|gamma|beta)"
"""What a norm or a linear layer holds; old BERTs name a norm's gamma and beta."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where one family of encoders keeps its layers, and what is particular about them.

    Attributes:
        layers: Path of the list of layers, relative to the encoder.
        prefix: Prefix of the encoder's tensor names in a model with a head, the only one that Transformers recognizes.
        depth_keys: Keys of config.json for the number of layers; Transformers reads the first.
        word_embeddings: Path of the module with one row per vocabulary piece.
        final_norm: Path of the norm after the last layer, if there is one. It is not part of a layer's own output.
        per_layer_keys: Keys of the lists in the config that have one entry per layer.
        first_has: Parts that only layer 0 has and every layer uses; after pruning, the new first layer gets them.
        first_lacks: Parts that only layer 0 lacks; it must be kept, because a saved model cannot mark another layer so.
        not_encoder: Prefixes of tensor names in a full checkpoint that do not belong to the sentence encoder.
        positions_behind_padding: Whether the first position's number is the padding piece's plus one.
        parts: Pattern of the tensor names in a layer.
        others: Pattern of the tensor names outside the layers, below the same modules as layers and embeddings.
        switched: Patterns of further tensors in a layer, each with the key of config.json that has to be true for them.
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
    parts: str = (
        r"(attention\.self\.(query|key|value)|(attention\.)?output\.(dense|LayerNorm)|intermediate\.dense)" + _AFFINE
    )
    others: str = r"embeddings\.(word_embeddings|position_embeddings|token_type_embeddings|LayerNorm)" + _AFFINE
    switched: tuple[tuple[str, str], ...] = ()

    def uses(self, name: str, config: Mapping[str, Any]) -> bool:
        """Return whether Transformers' class for this architecture computes with a tensor of a checkpoint.

        Args:
            name: The tensor's name in the bare encoder.
            config: The parsed config.json.
        """
        in_layer = re.fullmatch(rf"{re.escape(self.layers)}\.(\d+)\.(.+)", name)
        if in_layer is None:
            return re.fullmatch(self.others, name) is not None
        index, part = int(in_layer[1]), in_layer[2]
        if part.startswith(self.first_has if index else self.first_lacks):
            return False
        switched = (pattern for pattern, key in self.switched if config.get(key))
        return any(re.fullmatch(pattern, part) for pattern in (self.parts, *switched))


_ROBERTA = Architecture(prefix="roberta.", positions_behind_padding=True)
_DECODER = Architecture(
    layers="layers",
    prefix="model.",
    word_embeddings="embed_tokens",
    final_norm="norm",
    parts=r"((input|post_attention)_layernorm|self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)\.weight",
    others=r"(embed_tokens|norm)\.weight",
)
_ATTENTION_BIAS = (r"self_attn\.[qkvo]_proj\.bias", "attention_bias")
_QWEN2 = replace(_DECODER, per_layer_keys=("layer_types",), parts=rf"{_DECODER.parts}|self_attn\.[qkv]_proj\.bias")
_QWEN3 = replace(
    _DECODER,
    per_layer_keys=("layer_types",),
    parts=rf"{_DECODER.parts}|self_attn\.[qk]_norm\.weight",
    switched=(_ATTENTION_BIAS,),
)
_GEMMA2 = replace(
    _DECODER,
    per_layer_keys=("layer_types",),
    parts=rf"{_DECODER.parts}|(pre|post)_feedforward_layernorm\.weight",
    switched=(_ATTENTION_BIAS,),
)
_T5 = Architecture(
    layers="encoder.block",
    prefix="transformer.",
    depth_keys=("num_layers",),
    word_embeddings="shared",
    final_norm="encoder.final_layer_norm",
    first_has=("layer.0.SelfAttention.relative_attention_bias",),
    not_encoder=("decoder.", "lm_head."),
    parts=r"layer\.(0\.SelfAttention\.([qkvo]|relative_attention_bias)|1\.DenseReluDense\.(wi|wi_[01]|wo)|[01]\.layer_norm)"
    r"\.weight",
    others=r"(shared|encoder\.embed_tokens|encoder\.final_layer_norm)\.weight",
)

ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": replace(
        _ROBERTA,
        prefix="mpnet.",
        parts=r"(attention\.(attn\.[qkvo]|LayerNorm)|intermediate\.dense|output\.(dense|LayerNorm))" + _AFFINE,
        others=rf"{_ROBERTA.others}|encoder\.relative_attention_bias\.weight",
    ),
    "electra": Architecture(prefix="electra.", others=rf"{_ROBERTA.others}|embeddings_project\.(weight|bias)"),
    "distilbert": Architecture(
        layers="transformer.layer",
        prefix="distilbert.",
        depth_keys=("n_layers",),
        parts=r"(attention\.(q|k|v|out)_lin|ffn\.lin[12]|(sa|output)_layer_norm)" + _AFFINE,
    ),
    "deberta-v2": Architecture(
        prefix="deberta.",
        parts=r"(attention\.self\.(pos_)?(query|key|value)_proj|(attention\.)?output\.(dense|LayerNorm)|intermediate\.dense)"
        + _AFFINE,
        others=rf"{_ROBERTA.others}|embeddings\.embed_proj\.weight|encoder\.rel_embeddings\.weight"
        rf"|encoder\.(LayerNorm|conv\.(conv|LayerNorm)){_AFFINE}",
    ),
    "modernbert": Architecture(
        layers="layers",
        prefix="model.",
        word_embeddings="embeddings.tok_embeddings",
        final_norm="final_norm",
        per_layer_keys=("layer_types",),
        first_lacks=("attn_norm",),
        parts=r"(attn\.Wqkv|attn\.Wo|mlp\.Wi|mlp\.Wo|attn_norm|mlp_norm)\.weight",
        others=r"(embeddings\.tok_embeddings|embeddings\.norm|final_norm)\.(weight|bias)",
        switched=(
            (r"attn\.(Wqkv|Wo)\.bias", "attention_bias"),
            (r"mlp\.(Wi|Wo)\.bias", "mlp_bias"),
            (r"(attn|mlp)_norm\.bias", "norm_bias"),
        ),
    ),
    "t5": _T5,
    "mt5": _T5,
    "llama": replace(_DECODER, switched=(_ATTENTION_BIAS, (r"mlp\.(gate|up|down)_proj\.bias", "mlp_bias"))),
    "mistral": _DECODER,
    "qwen2": _QWEN2,
    "qwen3": _QWEN3,
    "gemma": replace(_DECODER, switched=(_ATTENTION_BIAS,)),
    "gemma2": _GEMMA2,
    "gemma3_text": replace(_GEMMA2, parts=rf"{_GEMMA2.parts}|self_attn\.[qk]_norm\.weight"),
}
"""By `model_type` of config.json. To support another architecture, add a row;
tests/library/test_pruning.py checks it."""

SHARED_LAYERS = {"albert": "repeats one and the same layer"}
"""Encoders whose layers share their weights, and why they cannot be pruned."""


def architecture_of(model_type: str, class_name: str = "") -> Architecture:
    """Return the architecture of a model type.

    Args:
        model_type: `model_type` of config.json.
        class_name: The model's class for the error message, if it is known.

    Raises:
        EncoderError: The type is not supported.
    """
    if model_type in ARCHITECTURES:
        return ARCHITECTURES[model_type]
    if model_type in SHARED_LAYERS:
        raise EncoderError(
            f"Encoders of the type {model_type!r} cannot be pruned: such an encoder {SHARED_LAYERS[model_type]}, "
            "so dropping layers would save no parameter. "
            "Take an encoder whose layers have weights of their own, a bert or a roberta, say."
        )
    matches = get_close_matches(model_type, ARCHITECTURES, n=1)
    hint = f" The nearest known type is {matches[0]!r}." if matches else ""
    described = f"{model_type!r} ({class_name})" if class_name else repr(model_type)
    raise EncoderError(
        f"Encoders of the type {described} are not known: sbert-prune has to know where such a model keeps its list of "
        f"layers (encoder.layer, say), their number and its word embeddings.{hint} "
        f"Known types: {', '.join(ARCHITECTURES)}. "
        "To add one, write a row into ARCHITECTURES in sbert_prune/models/architectures.py."
    )


def depth_in_config(config: dict[str, Any]) -> int:
    """Return the number of layers that a parsed config.json gives."""
    classes = config.get("architectures")
    class_name = str(classes[0]) if isinstance(classes, list) and classes else ""
    architecture = architecture_of(str(config.get("model_type")), class_name)
    for key in (*architecture.depth_keys, "num_hidden_layers"):
        if isinstance(config.get(key), int):
            return _checked_depth(int(config[key]), key)
    raise EncoderError(
        f"config.json of this {config.get('model_type')} holds no {architecture.depth_keys[0]}, "
        "so its depth is not known."
    )


def _checked_depth(depth: int, key: str) -> int:
    if depth > MAX_DEPTH:
        raise EncoderError(
            f"config.json gives {key}={depth:,}; at most {MAX_DEPTH:,} layers are supported. Restore it from where the "
            "model came from."
        )
    return depth


def check_selection(model_type: str, selection: LayerSelection) -> None:
    """Refuse a selection that a saved model of this architecture cannot represent.

    Raises:
        SelectionError: The selection drops layer 0 of an architecture that needs it.
    """
    architecture = architecture_of(model_type)
    if architecture.first_lacks and 0 not in selection.kept:
        fixed = ",".join(map(str, (0, *selection.kept[1:])))
        raise SelectionError(
            f"Layers {selection} leave out layer 0, which has to stay in a {model_type}: it alone has no "
            f"{architecture.first_lacks[0]}, and another first layer would lose its own when the model is loaded. "
            f"Did you mean layers={fixed}?"
        )


def pruned_config(config: dict[str, Any], selection: LayerSelection) -> dict[str, Any]:
    """Return a parsed config.json for the kept layers: their number, and every list with one entry per layer."""
    architecture = architecture_of(str(config["model_type"]))
    lists = {key: _per_layer_list(config, key) for key in architecture.per_layer_keys}
    number = {key: selection.num_layers for key in (*architecture.depth_keys, "num_hidden_layers") if key in config}
    return config | number | {key: [entries[index] for index in selection.kept] for key, entries in lists.items()}


def _per_layer_list(config: dict[str, Any], key: str) -> list[Any]:
    if config.get(key) is not None:
        if not isinstance(config[key], list) or len(config[key]) != depth_in_config(config):
            depth = depth_in_config(config)
            raise EncoderError(
                f"config.json of this {config['model_type']} should list one entry per layer under {key!r}, "
                f"{depth} in all. Restore it from where the model came from."
            )
        return list(config[key])
    # Old configs lack the list: Transformers derives it from the layers' indices, which pruning changes.
    from transformers import AutoConfig

    arguments = {name: value for name, value in config.items() if name != "model_type"}
    return list(getattr(AutoConfig.for_model(config["model_type"], **arguments), key))


def layers_of(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the list of layers; layer 0 is next to the embeddings.

    Raises:
        EncoderError: The encoder has no layers at the architecture's path.
    """
    path = architecture_of(str(encoder.config.model_type), type(encoder).__name__).layers
    try:
        return cast("nn.ModuleList", encoder.get_submodule(path))
    except AttributeError as error:
        raise EncoderError(
            f"{type(encoder).__name__} has no {path!r}, where encoders of the type {encoder.config.model_type!r} keep "
            "their layers. Give the bare encoder (AutoModel), "
            "or correct its row in ARCHITECTURES in sbert_prune/models/architectures.py."
        ) from error


def set_layers(encoder: PreTrainedModel, layers: nn.ModuleList, selection: LayerSelection) -> None:
    """Replace the encoder's layers by the kept ones, and update its config: their number and every per-layer list.

    One function does both, because a model whose config has the old depth loads without an error, with random layers.
    """
    architecture = architecture_of(str(encoder.config.model_type))
    encoder.set_submodule(architecture.layers, layers)
    encoder.config.num_hidden_layers = len(layers)  # Transformers maps this name to the architecture's own key
    for key in architecture.per_layer_keys:
        setattr(encoder.config, key, [getattr(encoder.config, key)[index] for index in selection.kept])
    for index, layer in enumerate(layers):
        for module in layer.modules():
            if "layer_idx" in vars(module):
                vars(module)["layer_idx"] = index  # the index that caches and attention backends use


def move_shared_parts(model_type: str, old: nn.Module, new: nn.Module) -> None:
    """Give the new first layer the parts that the old first layer had for all layers."""
    for path in architecture_of(model_type).first_has:
        owner, _, name = path.rpartition(".")
        setattr(new.get_submodule(owner), name, deepcopy(old.get_submodule(path)))
        setattr(new.get_submodule(owner), f"has_{name}", True)  # T5's attention checks this flag
