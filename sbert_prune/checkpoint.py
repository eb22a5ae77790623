"""What a saved checkpoint says of itself, read without torch: enough to refuse a wrong one within a second.

The safetensors layout: https://huggingface.co/docs/safetensors (8 bytes of header length, a JSON header, the tensors).
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbert_prune.encoders import architecture_of, depth_in_config
from sbert_prune.errors import EncoderError

_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with an encoder that can be loaded: its config and weights agree.

    depth: number of layers.  weights: the safetensors files, in order of their names.
    """

    folder: Path
    config: dict[str, Any]
    depth: int
    weights: tuple[Path, ...]
    tensors: frozenset[str]

    @property
    def max_positions(self) -> int | None:
        """Longest input in pieces, as far as the config says; None where positions are unlimited."""
        positions = self.config.get("max_position_embeddings")
        if not isinstance(positions, int):
            return None
        # RoBERTa's and MPNet's positions start behind the padding index.
        return positions - 2 if self.config["model_type"] in {"roberta", "xlm-roberta", "camembert", "mpnet"} else positions

    def sha256(self) -> str:
        """SHA-256 over the bytes of all weight files."""
        digest = hashlib.sha256()
        for path in self.weights:
            with path.open("rb") as file:
                while chunk := file.read(1 << 22):
                    digest.update(chunk)
        return digest.hexdigest()

    def num_bytes(self) -> int:
        """Bytes of the whole folder on disk: weights, tokenizer, configs."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A checkpoint and what people call it: a base, or a sentence model at any point of its making.

    uri: a name, folder, hub id, or `models:/` or `runs:/` URI.  revision: the hub's commit, None for all others.
    """

    uri: str
    revision: str | None
    checkpoint: Checkpoint

    @property
    def folder(self) -> Path:
        """Where it lies on this machine."""
        return self.checkpoint.folder

    @property
    def is_sentence_model(self) -> bool:
        """Whether pooling was saved along with the encoder."""
        return (self.folder / "modules.json").is_file()

    @property
    def pooling(self) -> str | None:
        """The pooling that was saved along with the encoder: mean, cls, or what else sentence-transformers knows."""
        for path in sorted(self.folder.glob("*_Pooling/config.json")):
            config = json.loads(path.read_bytes())
            legacy = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
            modes = config.get("pooling_mode") or [mode for key, mode in legacy.items() if config.get(key)]
            return modes if isinstance(modes, str) else "+".join(modes) or "other"
        return None


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Read config and tensor names of a saved encoder or sentence model.

    Raises EncoderError for a folder without a config, an unknown architecture, pickle weights, a missing shard,
    a truncated or corrupt file, and a config whose depth is not that of the weights.
    """
    config = _read_json(folder / "config.json", "Give a folder that holds a Transformers encoder or a sentence model.")
    if not isinstance(config, dict) or "model_type" not in config:
        raise EncoderError(f"{folder / 'config.json'} names no model_type, so it is not the config of a Transformers encoder.")
    depth = depth_in_config(config)
    weights = _weight_files(folder)
    tensors = frozenset(name for path in weights for name in _tensor_names(path))
    _check_depth(folder, str(config["model_type"]), depth, tensors)
    _check_tokenizer(folder)
    for path in folder.glob("*_*/model.safetensors"):  # further modules of a sentence model, a Dense layer, say
        _tensor_names(path)
    return Checkpoint(folder, config, depth, weights, tensors)


def _check_tokenizer(folder: Path) -> None:
    """Without its files, Transformers makes up a tokenizer that knows no word, and says nothing."""
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise EncoderError(f"{folder} holds no tokenizer (one of {', '.join(_TOKENIZERS)}). Copy it beside the weights.")
    if (folder / "tokenizer.json").is_file():
        _read_json(folder / "tokenizer.json", "")


def _read_json(path: Path, advice: str) -> Any:
    if not path.is_file():
        raise EncoderError(f"{path.parent} holds no {path.name}. {advice}")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise EncoderError(f"{path} is not valid JSON ({error}). Restore it from where the model came from.") from error


def _weight_files(folder: Path) -> tuple[Path, ...]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        content = _read_json(index, "")
        listed = content.get("weight_map") if isinstance(content, dict) else None
        names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
        if not names or not all(name.endswith(".safetensors") for name in names):
            raise EncoderError(f"{index} lists no weight files. Restore it from where the model came from.")
        if missing := [name for name in names if not (folder / Path(name).name).is_file()]:
            raise EncoderError(
                f"{folder} lacks {', '.join(missing)} of the {len(names)} weight files that {index.name} lists. Fetch the rest."
            )
        return tuple(folder / Path(name).name for name in names)
    if (folder / "model.safetensors").is_file():
        return (folder / "model.safetensors",)
    if pickles := [name for name in _PICKLES if (folder / name).exists()]:
        raise EncoderError(
            f"{folder} holds its weights as {pickles[0]}, a pickle, which can run code when it is loaded. "
            "Save it again as safetensors: AutoModel.from_pretrained(folder).save_pretrained(folder)."
        )
    raise EncoderError(
        f"{folder} holds no model.safetensors. Give a model that has one; weights of another kind become one by "
        "AutoModel.from_pretrained(folder).save_pretrained(folder), where you trust them."
    )


def _tensor_names(path: Path) -> list[str]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            raise EncoderError(f"{path} is not a safetensors file, or it is cut off: {size} bytes. Fetch it again.")
        try:
            header = json.loads(file.read(length))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = 8 + length + max(entry["data_offsets"][1] for entry in tensors.values())
        except (ValueError, AttributeError, LookupError, TypeError) as error:
            raise EncoderError(f"{path} has a damaged header ({error}). Fetch it again.") from error
    if end != size:
        raise EncoderError(f"{path} should be {end} bytes by its own header, and is {size}: it was cut off or damaged. Fetch it again.")
    return list(tensors)


def _check_depth(folder: Path, model_type: str, depth: int, tensors: frozenset[str]) -> None:
    pattern = re.compile(rf"(?:^|\.){re.escape(architecture_of(model_type).layers)}\.(\d+)\.")
    found = sorted({int(match[1]) for name in tensors if (match := pattern.search(name))})
    if found != list(range(depth)):
        held = f"layers {found[0]}-{found[-1]} ({len(found)})" if found else "no layers"
        raise EncoderError(
            f"{folder}: config.json announces {depth} layers, the weights hold {held}. Loaded like this, layers would be random or lost. "
            "Correct config.json, or fetch the folder again."
        )
    parts = [{name[match.end() :] for name in tensors if (match := pattern.search(name)) and int(match[1]) == index} for index in found]
    for index, held_parts in enumerate(parts):
        if lacking := sorted(set().union(*parts) - held_parts):
            path = f"{architecture_of(model_type).layers}.{index}.{lacking[0]}"
            raise EncoderError(
                f"{folder}: the weights lack {path}, which other layers have. Loaded like this, it would be random. Fetch it again."
            )
