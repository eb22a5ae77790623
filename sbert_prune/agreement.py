"""Whether the weights of a checkpoint are those that its config announces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sbert_prune.models.architectures import Architecture
    from sbert_prune.models.safetensors_file import StoredTensor

_WIDTHS = ("embedding_size", "hidden_size", "dim", "d_model")


def encoder_tensors(folder: Path, architecture: Architecture, tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The tensors of the bare encoder: without a head's or decoder's, and without the prefix that a model with a head puts before names.

    Raises EncoderError where the layers stand where Transformers would not look for them: loaded, they would be random.
    """
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(architecture.not_encoder)}
    pattern = re.compile(rf"(.*\.)?{re.escape(architecture.layers)}\.\d+\.")
    prefixes = {match[1] or "" for match in map(pattern.match, own) if match}
    if wrong := sorted(prefixes - {"", architecture.prefix}):
        raise EncoderError(
            f"{folder} keeps its layers under {wrong[0]}{architecture.layers}, where Transformers does not look for them: loaded, they "
            "would be random. Load the model by its own class, and save its bare encoder (model.base_model.save_pretrained)."
        )
    if len(prefixes) > 1:
        raise EncoderError(f"{folder} holds two encoders, one under {architecture.prefix!r}. Save the one that you want by itself.")
    prefix = "".join(prefixes)
    return {name.removeprefix(prefix): tensor for name, tensor in own.items() if name.startswith(prefix)}


def layer_and_part(architecture: Architecture, name: str) -> tuple[int, str] | None:
    """Take an encoder's tensor name apart: (2, "output.dense.weight"); None for a tensor outside of the layers."""
    number, _, part = name.removeprefix(f"{architecture.layers}.").partition(".")
    return (int(number), part) if name.startswith(f"{architecture.layers}.") and number.isdecimal() else None


def check_depth(folder: Path, architecture: Architecture, depth: int, tensors: Mapping[str, StoredTensor]) -> None:
    """Refuse weights that hold other layers than announced, or a layer unlike the others. Raises EncoderError."""
    layers: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, tensor in tensors.items():
        if place := layer_and_part(architecture, name):
            layers.setdefault(place[0], {})[place[1]] = tensor.shape
    found = sorted(layers)
    if found != list(range(depth)):
        held = f"layers {found[0]}-{found[-1]} ({len(found)})" if found else "no layers"
        raise EncoderError(
            f"{folder}: config.json announces {depth} layers, the weights hold {held}. Loaded like this, layers would be random or lost. "
            "Correct config.json, or fetch the folder again."
        )
    expected = {part: shape for index in reversed(found) for part, shape in layers[index].items()}
    for index in found:
        _check_layer(folder, f"{architecture.layers}.{index}", layers[index], _own(architecture, index, expected))


def _own(architecture: Architecture, index: int, expected: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    others = architecture.first_has if index else architecture.first_lacks
    return {part: shape for part, shape in expected.items() if not part.startswith(others)}


def _check_layer(folder: Path, path: str, held: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> None:
    for part, shape in sorted(expected.items()):
        if part not in held:
            raise EncoderError(
                f"{folder}: the weights lack {path}.{part}, which other layers have. Loaded like this, it would be random. Fetch it again."
            )
        if held[part] != shape:
            raise EncoderError(
                f"{folder}: the weights hold {path}.{part} as {list(held[part])}, in other layers it is {list(shape)}. Fetch it again."
            )


def check_embeddings(folder: Path, architecture: Architecture, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> None:
    """Refuse word embeddings of another size than announced, or none. Raises EncoderError."""
    names = (f"{architecture.word_embeddings}.weight", "encoder.embed_tokens.weight")  # T5's are shared, under either name
    found = next((tensors[name] for name in names if name in tensors), None)
    if found is None:
        raise EncoderError(f"{folder}: the weights lack {names[0]}, one row a piece. Loaded like this, it would be random. Fetch it again.")
    rows, widths = config.get("vocab_size"), [config[key] for key in _WIDTHS if isinstance(config.get(key), int)]
    if (isinstance(rows, int) and found.shape[0] != rows) or (widths and found.shape[-1] not in widths):
        announced = f"{rows} pieces, {' or '.join(map(str, widths))} wide"
        raise EncoderError(
            f"{folder}: config.json announces {announced}; the weights hold {' x '.join(map(str, found.shape))}. "
            "They do not belong together; fetch the folder again."
        )
