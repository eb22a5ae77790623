"""Checkpoints of a phase: at most two on disk, each written to a temporary folder and then renamed."""

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
_MAX_CHECKPOINTS = 2


@dataclass(frozen=True)
class PhaseState:
    """The content of a checkpoint.

    Attributes:
        position: Plain values.
        tensors: Tensors by name, on the CPU.
    """

    position: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


@dataclass
class Checkpoints:
    """The checkpoints of one phase, in a folder of their own.

    Attributes:
        folder: The folder.
        every_s: Seconds between two checkpoints; the end of a phase is saved in any case.
    """

    folder: Path
    every_s: float
    _last: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return time.monotonic() - self._last >= self.every_s

    def save(self, optimizer_step: int, state: PhaseState) -> str | None:
        """Write a checkpoint and delete all but the last two.

        Returns:
            The reason why it could not be written, for the user; None on success.
        """
        folder = self.folder / f"{optimizer_step:09}"
        if folder.exists():  # the phase was interrupted directly after a checkpoint
            return None
        try:
            with whole_folder(folder) as temporary:
                save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, temporary / _TENSORS)
                (temporary / _POSITION).write_text(json.dumps(dict(state.position)), encoding="utf-8")
                _flush_to_disk(temporary)
        except (EncoderError, SafetensorError, OSError) as error:
            return str(error)
        finally:
            self._last = time.monotonic()
        for old in self._folders()[:-_MAX_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)
        return None

    def load(self) -> PhaseState | None:
        """Return the last readable checkpoint, or None. Damaged ones are deleted."""
        for folder in reversed(self._folders()):
            try:
                position = json.loads((folder / _POSITION).read_text(encoding="utf-8"))
                return PhaseState(position, load_file(folder / _TENSORS))
            except (OSError, ValueError, SafetensorError):
                shutil.rmtree(folder, ignore_errors=True)  # `save` would skip a folder that exists
        return None

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("[0-9]*") if path.is_dir())


def _flush_to_disk(folder: Path) -> None:
    # A power cut after the rename would otherwise leave names without bytes.
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
