"""Pickled weights, converted to safetensors on request; only tensors are unpickled."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import EncoderError
from sbert_prune.models.checkpoint import PICKLES, shards
from sbert_prune.models.lineage import FILE_NAME
from sbert_prune.models.model_files import check_file
from sbert_prune.models.modules import PICKLE, check_files, copy_sidecar_files, read_modules
from sbert_prune.system.folders import whole_folder

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def holds_pickles(folder: Path) -> bool:
    """Return whether the weights of the encoder or of a further module are saved only as pickles."""
    encoder = any((folder / name).is_file() for name in PICKLES) and not any(folder.glob("model*.safetensors*"))
    return encoder or any(module.is_pickled for module in read_modules(folder))


def convert_pickles(folder: Path, out: Path) -> None:
    """Copy a folder, converting all pickled weights to safetensors.

    torch unpickles with `weights_only`, so that a pickle with anything but tensors is refused.

    Raises:
        EncoderError: A pickle is damaged or contains more than tensors, a file is a link out of the folder, or the
            output folder is not empty.
    """
    check_files(folder)
    with whole_folder(
        out, num_bytes=sum(path.stat().st_size for path in folder.glob("*.bin") if path.is_file())
    ) as partial:
        copy_sidecar_files(folder, partial)
        for path in (folder / "config.json", folder / FILE_NAME, *folder.glob("model*.safetensors*")):
            if path.is_file():
                shutil.copyfile(path, partial / path.name)
        if not any(folder.glob("model*.safetensors*")):
            _save(_load_all(folder), partial / "model.safetensors", folder)
        for module in read_modules(folder):
            if module.is_pickled:
                target = partial / module.folder.relative_to(folder) / "model.safetensors"
                target.parent.mkdir(parents=True, exist_ok=True)
                _save(_load(folder, module.folder / PICKLE), target, module.folder)


def _load_all(folder: Path) -> dict[str, Tensor]:
    index = folder / PICKLES[1]
    if not index.is_file():
        return _load(folder, folder / PICKLES[0])
    return {key: tensor for path in shards(index, ".bin") for key, tensor in _load(folder, path).items()}


def _load(folder: Path, path: Path) -> dict[str, Tensor]:
    import torch

    check_file(folder, path)

    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise any exception
        # torch's own message would advise to load it without weights_only.
        raise EncoderError(
            f"{path} is damaged, or holds more than tensors ({type(error).__name__}), and is not loaded. "
            "Fetch it again, or ask its author for safetensors."
        ) from error
    if (
        not isinstance(weights, dict)
        or not weights
        or not all(isinstance(value, torch.Tensor) for value in weights.values())
    ):
        raise EncoderError(f"{path} holds no table of tensors by name, so these are no weights. Fetch it again.")
    return weights


def _save(tensors: dict[str, Tensor], path: Path, source: Path) -> None:
    from safetensors.torch import save_file

    try:
        # Copies, because safetensors refuses tensors that share memory (tied weights).
        copies = {str(name): tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
        save_file(copies, path, metadata={"format": "pt"})
    except (RuntimeError, NotImplementedError, KeyError, ValueError) as error:
        raise EncoderError(
            f"The weights in {source} are of a kind that safetensors cannot hold: {error}. Take another base."
        ) from error
