"""Checkpoints of a phase: at most two on disk, each written beside its place and renamed, so that none is ever half there."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sbert_prune.errors import EncoderError
from sbert_prune.system.folders import whole_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

_TENSORS, _POSITION = "tensors.safetensors", "position.json"
_KEPT = 2


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds. position: plain values.  tensors: by name, on the CPU."""

    position: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


@dataclass
class Checkpoints:
    """The checkpoints of one phase, in a folder of their own.

    every_s: seconds between two of them; phase ends come on top.
    """

    folder: Path
    every_s: float
    _last: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self.every_s

    def save(self, optimizer_step: int, saved: Saved) -> str | None:
        """Write one, and remove all but the last two. Returns why it could not be written, for people; None when all went well."""
        folder = self.folder / f"{optimizer_step:09}"
        if folder.exists():  # a phase that was told to stop right behind a checkpoint
            return None
        try:
            with whole_folder(folder) as beside:
                save_file({name: tensor.contiguous() for name, tensor in saved.tensors.items()}, beside / _TENSORS)
                (beside / _POSITION).write_text(json.dumps(dict(saved.position)), encoding="utf-8")
                _reach_the_disk(beside)
        except (EncoderError, SafetensorError, OSError) as error:
            return str(error)
        finally:
            self._last = time.monotonic()
        for old in self._found()[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return None

    def load(self) -> Saved | None:
        """The last one that can be read; None where there is none."""
        for folder in reversed(self._found()):
            try:
                position = json.loads((folder / _POSITION).read_text(encoding="utf-8"))
                return Saved(position, load_file(folder / _TENSORS))
            except (OSError, ValueError, SafetensorError):
                shutil.rmtree(folder, ignore_errors=True)  # damaged: the one before it will do, and this place will be needed again
        return None

    def _found(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("[0-9]*") if path.is_dir())


def _reach_the_disk(folder: Path) -> None:
    """A power cut after the rename would otherwise leave names without bytes."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
