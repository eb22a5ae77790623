"""Saved checkpoints, inspected without torch, so that an unsuitable one is refused within a second."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sbert_prune.errors import EncoderError
from sbert_prune.models.architectures import architecture_of, depth_in_config
from sbert_prune.models.lineage import FILE_NAME
from sbert_prune.models.modules import PICKLE, check_files, read_modules
from sbert_prune.models.safetensors_file import StoredTensor, read_tensors
from sbert_prune.system.reading import (
    MAX_CONFIG_BYTES,
    MAX_PIECES,
    MAX_TEXT_CHARS,
    MAX_TOKENIZER_BYTES,
    MAX_WIDTH,
    check_settings,
    read_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sbert_prune.models.architectures import Architecture

_WIDTHS = ("embedding_size", "hidden_size", "dim", "d_model")


def encoder_tensors(
    folder: Path, architecture: Architecture, tensors: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """Return the tensors of the bare encoder: without a head or decoder, and without the prefix of a model with a head.

    Raises:
        EncoderError: The layers have a prefix that Transformers does not recognize, so it would load random ones.
    """
    encoder_only = {name: tensor for name, tensor in tensors.items() if not name.startswith(architecture.not_encoder)}
    pattern = re.compile(rf"(.*\.)?{re.escape(architecture.layers)}\.\d+\.")
    prefixes = {match[1] or "" for match in map(pattern.match, encoder_only) if match}
    if wrong := sorted(prefixes - {"", architecture.prefix}):
        raise EncoderError(
            f"{folder} keeps its layers under {wrong[0]}{architecture.layers}, where Transformers does not look for "
            "them: loaded, they would be random. Load the model by its own class, and save its bare encoder "
            "(model.base_model.save_pretrained)."
        )
    if len(prefixes) > 1:
        raise EncoderError(
            f"{folder} holds two encoders, one under {architecture.prefix!r}. Save the one that you want by itself."
        )
    prefix = "".join(prefixes)
    return {name.removeprefix(prefix): tensor for name, tensor in encoder_only.items() if name.startswith(prefix)}


_BUFFERS = re.compile(r"(.*\.)?(position_ids|token_type_ids|inv_freq)")
"""Numbers that follow from the config. Old checkpoints have them, and today's classes compute them."""


def check_places(
    folder: Path,
    architecture: Architecture,
    config: Mapping[str, Any],
    tensors: Mapping[str, StoredTensor],
    *,
    has_prefix: bool,
) -> None:
    """Check that Transformers' class has a place for each tensor among the embeddings and layers: it ignores others.

    Args:
        folder: The folder, for the message.
        architecture: The architecture.
        config: The parsed config.json.
        tensors: The tensors of the bare encoder.
        has_prefix: Whether they were saved with a head, which is then not among them.

    Raises:
        EncoderError: A tensor has no place, so the model would compute something else than its author's.
    """
    paths = (architecture.layers, architecture.word_embeddings, architecture.final_norm or architecture.layers)
    encoder = {path.partition(".")[0] for path in paths}
    unused = [
        name
        for name in tensors
        if (name.partition(".")[0] in encoder or (has_prefix and not name.startswith("pooler.")))
        and not architecture.uses(name, config)
        and not _BUFFERS.fullmatch(name)
    ]
    refuse_unused(folder, str(config["model_type"]), unused)


def refuse_unused(folder: Path, model_type: str, unused: Iterable[str]) -> None:
    """Raise EncoderError where the weights have tensors that the loaded model does not use."""
    if names := sorted(unused):
        listed = ", ".join(names[:3]) + (f", ... ({len(names)} in all)" if len(names) > 3 else "")
        raise EncoderError(
            f"{folder}: the weights have {listed}, for which Transformers' {model_type} has no place. Loaded without "
            "them, the model would give other embeddings than its author's. Merge adapters into the weights first "
            "(merge_and_unload in peft); a model with an architecture or code of its own cannot be used."
        )


def layer_and_part(architecture: Architecture, name: str) -> tuple[int, str] | None:
    """Split a tensor name into layer and part: (2, "output.dense.weight"); None for a tensor outside the layers."""
    prefix = f"{architecture.layers}."
    index, _, part = name.removeprefix(prefix).partition(".")
    return (int(index), part) if name.startswith(prefix) and index.isdecimal() else None


def check_depth(folder: Path, architecture: Architecture, depth: int, tensors: Mapping[str, StoredTensor]) -> None:
    """Check that the weights have the layers that the config gives, all with the same parts and shapes.

    Raises:
        EncoderError: A layer is missing, unexpected, or differs from the others.
    """
    layers: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, tensor in tensors.items():
        if place := layer_and_part(architecture, name):
            layers.setdefault(place[0], {})[place[1]] = tensor.shape
    indices = sorted(layers)
    if indices != list(range(depth)):
        described = f"layers {indices[0]}-{indices[-1]} ({len(indices)})" if indices else "no layers"
        raise EncoderError(
            f"{folder}: config.json announces {depth} layers, the weights hold {described}. "
            "Loaded like this, layers would be random or lost. Correct config.json, or fetch the folder again."
        )
    expected = {part: shape for index in reversed(indices) for part, shape in layers[index].items()}
    for index in indices:
        own_parts = _parts_of_layer(architecture, index, expected)
        _check_layer(folder, f"{architecture.layers}.{index}", layers[index], own_parts)


def _parts_of_layer(
    architecture: Architecture, index: int, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    excluded = architecture.first_has if index else architecture.first_lacks
    return {part: shape for part, shape in expected.items() if not part.startswith(excluded)}


def _check_layer(
    folder: Path, path: str, actual: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    for part, shape in sorted(expected.items()):
        if part not in actual:
            raise EncoderError(
                f"{folder}: the weights lack {path}.{part}, which other layers have. "
                "Loaded like this, it would be random. Fetch it again."
            )
        if actual[part] != shape:
            raise EncoderError(
                f"{folder}: the weights hold {path}.{part} as {list(actual[part])}, "
                f"in other layers it is {list(shape)}. Fetch it again."
            )


def check_embeddings(
    folder: Path, architecture: Architecture, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]
) -> None:
    """Check that the word embeddings have the size that the config gives.

    Raises:
        EncoderError: They are missing or of another size.
    """
    names = (
        f"{architecture.word_embeddings}.weight",
        "encoder.embed_tokens.weight",
    )  # T5's are shared, under either name
    embeddings = next((tensors[name] for name in names if name in tensors), None)
    if embeddings is None:
        raise EncoderError(
            f"{folder}: the weights lack {names[0]}, one row per piece. "
            "Loaded like this, it would be random. Fetch it again."
        )
    rows, widths = config.get("vocab_size"), [config[key] for key in _WIDTHS if isinstance(config.get(key), int)]
    if (isinstance(rows, int) and embeddings.shape[0] != rows) or (widths and embeddings.shape[-1] not in widths):
        announced = f"{rows} pieces, {' or '.join(map(str, widths))} wide"
        actual = " x ".join(map(str, embeddings.shape))
        raise EncoderError(
            f"{folder}: config.json announces {announced}; the weights hold {actual}. "
            "They do not belong together; fetch the folder again."
        )


_FINGERPRINT_SUFFIXES = (".json", ".safetensors", ".txt", ".model")
_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)
PICKLES = (PICKLE, f"{PICKLE}.index.json")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with an encoder that can be loaded: its config and weights agree.

    Attributes:
        folder: The folder.
        config: The parsed config.json.
        depth: Number of layers.
        weights: The safetensors files, sorted by name.
        tensors: The tensors of the bare encoder under their names there, even if the checkpoint was saved with a head.
    """

    folder: Path
    config: dict[str, Any]
    depth: int
    weights: tuple[Path, ...]
    tensors: dict[str, StoredTensor]

    @property
    def max_positions(self) -> int | None:
        """Longest input in pieces, from the config; None if positions are unlimited."""
        positions = self.config.get("max_position_embeddings")
        if not isinstance(positions, int):
            return None
        if not architecture_of(self.config["model_type"]).positions_behind_padding:
            return positions
        padding = self.config.get("pad_token_id")
        return positions - 1 - (padding if isinstance(padding, int) else 1)

    @property
    def half_precision(self) -> str | None:
        """float16 or bfloat16 where that is the number type of most tensors; None for another."""
        types = [tensor.dtype for tensor in self.tensors.values()]
        return {"F16": "float16", "BF16": "bfloat16"}.get(max(types, key=types.count))

    def sha256(self) -> str:
        """Return the SHA-256 of all weight files."""
        return _sha256(_stamped(self.weights))

    def fingerprint(self) -> str:
        """Return the SHA-256 of all files that embeddings depend on: weights, config, tokenizer and further modules."""
        paths = sorted(path for pattern in ("*", "*_*/*") for path in self.folder.glob(pattern))
        return _sha256(
            _stamped(
                path
                for path in paths
                if path.suffix in _FINGERPRINT_SUFFIXES and path.is_file() and path.name != FILE_NAME
            )
        )

    def num_bytes(self) -> int:
        """Return the size of the whole folder on disk in bytes: weights, tokenizer, configs."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def _stamped(files: Iterable[Path]) -> tuple[tuple[Path, int, int], ...]:
    return tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)


@lru_cache(maxsize=64)
def _sha256(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash the concatenated files; the cache returns the hash of unchanged files at once."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Read and check the config and tensor names of a saved encoder or sentence model.

    Raises:
        EncoderError: The config, tokenizer or a shard is missing; the architecture is unknown; weights are pickled; a
            file is truncated or corrupt, a link out of the folder, or too large; config and weights do not agree; or
            Transformers' own class would compute something else: adapters, code of the model's own, quantised weights.
    """
    check_files(folder)
    _refuse_adapter(folder)
    config = _read_json(folder / "config.json", "Give a folder that holds a Transformers encoder or a sentence model.")
    if not isinstance(config, dict) or "model_type" not in config:
        raise EncoderError(
            f"{folder / 'config.json'} names no model_type, so it is not the config of a Transformers encoder. "
            "Restore it from where the model came from, or add the model_type of its architecture, such as bert."
        )
    depth = depth_in_config(config)
    _check_arithmetic(folder, config)
    _check_sizes(folder, config)
    weights = _weight_files(folder)
    architecture = architecture_of(str(config["model_type"]))
    saved = _all_tensors(folder, weights)
    tensors = encoder_tensors(folder, architecture, saved)
    check_places(folder, architecture, config, tensors, has_prefix=not tensors.keys() <= saved.keys())
    check_depth(folder, architecture, depth, tensors)
    check_embeddings(folder, architecture, config, tensors)
    _check_tokenizer(folder)
    for module in read_modules(folder):
        if module.is_pickled:
            _refuse_pickle(module.folder / PICKLE)
        if module.weights:
            _check_module(module.folder / "config.json", read_tensors(module.weights))
    return Checkpoint(folder, config, depth, weights, tensors)


def _refuse_adapter(folder: Path) -> None:
    path = folder / "adapter_config.json"
    if path.is_file():
        raise EncoderError(
            f"{folder} has an adapter ({path.name}), which belongs to the model and is in weights of its own. Merge it "
            "into the encoder's weights first: PeftModel.from_pretrained(encoder, folder).merge_and_unload()"
            ".save_pretrained(another_folder). To use the encoder without the adapter, remove its files."
        )


_COMPUTED_POSITIONS = {
    "position_embedding_type": {"absolute"},
    "pos_att_type": {"c2p", "p2c"},
}
"""Settings of positions, and their values that Transformers' classes compute. They take others without a word."""


def _check_arithmetic(folder: Path, config: Mapping[str, Any]) -> None:
    """Check that nothing in a config changes what Transformers' own class computes.

    Raises:
        EncoderError: The model has code of its own, is quantised, or has positions of another kind.
    """
    model_type, own_code = config["model_type"], config.get("auto_map")
    for name, code in sorted(own_code.items()) if isinstance(own_code, dict) else ():
        if name.startswith(("AutoConfig", "AutoModel")):
            raise EncoderError(
                f"{folder} needs its own code ({name}: {code} under auto_map in config.json), which sbert-prune does "
                f"not run. Transformers' {model_type} would give other embeddings. Take a model without such code. "
                f"If its code computes what Transformers' {model_type} does, remove auto_map from config.json."
            )
    if quantised := config.get("quantization_config"):
        method = quantised.get("quant_method", "") if isinstance(quantised, dict) else ""
        raise EncoderError(
            f"{folder} holds quantised weights (quantization_config in config.json{f': {method}' if method else ''}), "
            "which can be neither pruned nor trained. Give the model's unquantised weights."
        )
    for key, computed in _COMPUTED_POSITIONS.items():
        given = config.get(key) or ()
        values = set(given.lower().split("|") if isinstance(given, str) else map(str, given))
        if others := sorted(values - computed):
            raise EncoderError(
                f"{folder}: config.json gives {key}={', '.join(others)}, which Transformers' {model_type} no longer "
                f"computes: it would give other embeddings than its author's. Take a model with "
                f"{key}={' or '.join(sorted(computed))}."
            )


def _all_tensors(folder: Path, weights: tuple[Path, ...]) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for path in weights:
        new = read_tensors(path)
        if duplicates := sorted(tensors.keys() & new.keys()):
            name = duplicates[0]
            raise EncoderError(
                f"{folder}: {name} is in {tensors[name].path.name} and in {path.name}. Fetch the folder again."
            )
        tensors |= new
    return tensors


def _check_tokenizer(folder: Path) -> None:
    """Check that tokenizer files exist: without them, Transformers silently makes a tokenizer with no vocabulary."""
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise EncoderError(
            f"{folder} holds no tokenizer (one of {', '.join(_TOKENIZERS)}). Copy it beside the weights."
        )
    path = folder / "tokenizer.json"
    if path.is_file():
        parsed = _read_json(path, "", MAX_TOKENIZER_BYTES)
        if (
            not isinstance(parsed, dict)
            or not isinstance(parsed.get("model"), dict)
            or not parsed["model"].get("vocab")
        ):
            raise EncoderError(
                f"{path} holds no vocabulary, so it is no tokenizer. Restore it from where the model came from."
            )
        _check_texts(path, parsed)


def _check_texts(path: Path, parsed: dict[str, Any]) -> None:
    """Check that no piece is far longer than a word, and that the rest of a tokenizer is as small as settings are."""
    vocabulary, merges = parsed["model"]["vocab"], parsed["model"].get("merges") or ()
    pieces = vocabulary if isinstance(vocabulary, dict) else (entry[0] for entry in vocabulary if entry)
    try:
        joined = chain.from_iterable(merge if isinstance(merge, list) else (merge,) for merge in merges)
        longest = max(map(len, chain(pieces, joined)), default=0)
        check_settings(parsed | {"model": {**parsed["model"], "vocab": None, "merges": None}})
    except (ValueError, LookupError, TypeError) as error:
        raise EncoderError(f"{path} is no tokenizer ({error}). Restore it from where the model came from.") from error
    if longest > MAX_TEXT_CHARS:
        raise EncoderError(
            f"{path} has a piece of {longest:,} characters; at most {MAX_TEXT_CHARS:,} are read. Restore it from where "
            "the model came from."
        )


_SIZES = re.compile(r"(num|n|d)_\w+|(\w+_)?(size|dim|buckets|positions|embeddings)")
"""Names of the numbers in a config by which Transformers allocates memory before it sees the weights."""


def _check_sizes(folder: Path, config: Mapping[str, Any]) -> None:
    for name, size in config.items():
        limit = MAX_PIECES if name.endswith(("vocab_size", "positions", "embeddings")) else MAX_WIDTH
        if isinstance(size, int) and _SIZES.fullmatch(name) and size > limit:
            raise EncoderError(
                f"{folder}: config.json gives {name}={size:,}; at most {limit:,} are supported. Restore it from where "
                "the model came from."
            )


def _check_module(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Check the sizes in a module's config, by which memory is allocated before the weights are read."""
    if not path.is_file():
        return
    config = _read_json(path, "")
    largest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    for name, size in config.items() if isinstance(config, dict) else ():
        if isinstance(size, int) and size > max(1, largest):
            raise EncoderError(
                f"{path} gives {name}={size:,}, and the weights beside it have at most {largest:,} in a dimension. "
                "They do not belong together; fetch the folder again."
            )


def _read_json(path: Path, advice: str, limit: int = MAX_CONFIG_BYTES) -> Any:
    if not path.is_file():
        raise EncoderError(f"{path.parent} holds no {path.name}. {advice}")
    try:
        return read_json(path, limit)
    except ValueError as error:
        raise EncoderError(f"{path} is not valid JSON ({error}). Restore it from where the model came from.") from error


def _weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the single file if there is one, else the shards, as Transformers does."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return (folder / "model.safetensors",)
    if index.is_file():
        return shards(index, ".safetensors")
    if pickles := [name for name in PICKLES if (folder / name).exists()]:
        _refuse_pickle(folder / pickles[0])
    raise EncoderError(
        f"{folder} holds no model.safetensors. Give a model that has one; weights of another kind become one by "
        "AutoModel.from_pretrained(folder).save_pretrained(folder), where you trust them."
    )


def shards(index: Path, suffix: str) -> tuple[Path, ...]:
    """Return the weight files that an index lists, all beside it. Raises EncoderError if one is missing."""
    folder = index.parent
    content = _read_json(index, "")
    listed = content.get("weight_map") if isinstance(content, dict) else None
    names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    if not names or not all(name.endswith(suffix) and Path(name).name == name for name in names):
        raise EncoderError(f"{index} lists no weight files beside it. Restore it from where the model came from.")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise EncoderError(
            f"{folder} lacks {', '.join(missing)} of the {len(names)} weight files that {index.name} lists. "
            "Fetch the rest."
        )
    return tuple(folder / name for name in names)


def _refuse_pickle(path: Path) -> NoReturn:
    raise EncoderError(
        f"{path.parent} holds its weights as {path.name}, a pickle, which can run code when it is loaded. "
        "Have it converted with convert_pickle=true: nothing but tensors is then read from it."
    )
