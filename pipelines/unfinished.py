"""Where the steps of a command lie until it has done its work, so that after a kill the same command can take them up again."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from sbert_prune.training.checkpoints import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable

_RESULT = "result"

_FORGOTTEN_S = 30 * 86_400.0
"""After so long without being touched, nobody goes on with a step."""


@dataclass
class Unfinished:
    """The checkpoints and results that a command writes, step by step; they go when the command has done its work.

    folder: one folder a step in it, named by the step's key.
    """

    folder: Path
    _held: dict[str, FileLock] = field(default_factory=dict)

    def phase(self, key: str, *, every_s: float, say: Callable[[str], None]) -> Checkpoints | None:
        """The checkpoints of one phase; None where another process is at the very same one, or nothing can be written here."""
        try:
            self._hold(key)
        except Timeout:
            say("another command trains the very same phase now: this one writes no checkpoints")
            return None
        except OSError as error:
            say(f"{self.folder} cannot be written ({error.strerror}): no checkpoints, so a killed command begins anew")
            return None
        return Checkpoints(self.folder / key, every_s)

    def result(self, key: str) -> Path | None:
        """Where the result of a step lies, or is to lie; None where another process is at the very same one, or nothing can be written."""
        try:
            self._hold(key)
        except (Timeout, OSError):
            return None
        return self.folder / key / _RESULT

    def finish(self, key: str) -> None:
        """The step's result is saved: its checkpoints go."""
        for checkpoint in (self.folder / key).glob("[0-9]*"):
            shutil.rmtree(checkpoint, ignore_errors=True)

    def forget(self, key: str) -> None:
        """The step is to be done anew."""
        if self.result(key) is not None:
            shutil.rmtree(self.folder / key, ignore_errors=True)

    def _hold(self, key: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if key not in self._held:
            lock = FileLock(self.folder / f"{key}.lock")
            lock.acquire(timeout=0)
            self._held[key] = lock

    def clear(self) -> None:
        """The command has done its work: its checkpoints go, and what was forgotten long ago."""
        for key in self._held:
            shutil.rmtree(self.folder / key, ignore_errors=True)
            (self.folder / f"{key}.lock").unlink(missing_ok=True)
        for old in self.folder.glob("*"):
            if time.time() - old.stat().st_mtime > _FORGOTTEN_S:
                shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
        self.release()
        for empty in (self.folder, self.folder.parent):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()

    def release(self) -> None:
        """Let another command take the phases up."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()
