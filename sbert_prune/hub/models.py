"""Those files of a model on a hub that are a sentence encoder: none of the formats that lie beside them."""

import json
import re
from pathlib import Path, PurePosixPath

from sbert_prune.errors import EncoderError
from sbert_prune.hub.snapshot import Snapshot
from sbert_prune.models.modules import FILE_NAME, PICKLE

_COMPANIONS = (".json", ".txt", ".model")
_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLED_INDEX = f"{PICKLE}.index.json"
_PICKLED_SHARD = re.compile(r"pytorch_model-\d+-of-\d+\.bin")


def fetch_model(snapshot: Snapshot, *, convert_pickle: bool) -> Path:
    """The folder of a model with config, tokenizer, weights, and the modules behind the encoder.

    convert_pickle: whether to take weights that are pickled, where there are no others.

    Raises EncoderError for a model without weights that may be taken, and HubError for one that cannot be had.
    """
    top = [file.path for file in snapshot.files if "/" not in file.path]
    weights = _weights(top) or (_pickles(top) if convert_pickle else [])
    if not weights:
        raise EncoderError(_no_weights(snapshot, _pickles(top)))
    indexes = {_INDEX, _PICKLED_INDEX}
    companions = [name for name in top if PurePosixPath(name).suffix in _COMPANIONS and name not in indexes]
    folder = snapshot.fetch([*companions, *(name for name in weights if name in indexes)])
    shards = [shard for name in weights if name in indexes for shard in _listed(folder / name)]
    modules = [path for module in _module_folders(folder) for path in _module_files(snapshot, module, convert_pickle=convert_pickle)]
    return snapshot.fetch([*modules, *weights, *shards])


def _weights(top: list[str]) -> list[str]:
    """In the order in which Transformers looks; a variant such as model.fp16.safetensors is none."""
    if "model.safetensors" in top:
        return ["model.safetensors"]
    return [_INDEX] if _INDEX in top else []


def _pickles(top: list[str]) -> list[str]:
    return next(([name] for name in (PICKLE, _PICKLED_INDEX) if name in top), [])


def _listed(index: Path) -> list[str]:
    """The shards that an index lists: all are asked for, so that one which the hub lacks is told by its name."""
    try:
        names = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (ValueError, LookupError, AttributeError, TypeError):
        return []  # inspect_checkpoint says what is wrong with it
    return [name for name in names if _SHARD.fullmatch(name) or _PICKLED_SHARD.fullmatch(name)]


def _module_folders(folder: Path) -> list[str]:
    try:
        return sorted({str(entry["path"]) for entry in json.loads((folder / FILE_NAME).read_bytes())} - {""})
    except (OSError, ValueError, LookupError, TypeError):
        return []  # a bare encoder; or inspect_checkpoint says what is wrong with the list


def _module_files(snapshot: Snapshot, module: str, *, convert_pickle: bool) -> list[str]:
    held = {PurePosixPath(file.path).name: file.path for file in snapshot.files if file.path.rpartition("/")[0] == module}
    wanted = [path for name, path in held.items() if PurePosixPath(name).suffix in _COMPANIONS]
    if "model.safetensors" in held:
        return [*wanted, held["model.safetensors"]]
    if PICKLE in held and not convert_pickle:
        raise EncoderError(_no_weights(snapshot, [held[PICKLE]]))
    return [*wanted, *([held[PICKLE]] if PICKLE in held else [])]


def _no_weights(snapshot: Snapshot, pickles: list[str]) -> str:
    at = f"{snapshot.repo_id} at commit {snapshot.commit[:8]}"
    if pickles:
        return (
            f"{at} has weights as a pickle only ({pickles[0]}). Where you trust them, give convert_pickle=true: tensors are read from "
            "it and nothing else. Its author may have safetensors in a revision such as refs/pr/1."
        )
    if snapshot.is_from_cache:
        reason = snapshot.note or "HF_HUB_OFFLINE is set"
        return f"the cache has no weights of {at} ({reason}). Give the same command once with the hub in reach."
    return f"{at} has no model.safetensors. Give a model that has one, or a folder made by save_pretrained."
