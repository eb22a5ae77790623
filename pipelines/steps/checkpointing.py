"""Checkpoints and results of a command's steps, kept until it succeeds so that it can resume after a kill."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from sbert_prune.training.checkpoints import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable

_RESULT, _RUN_ID = "result", "run_id"

_EXPIRES_AFTER_S = 30 * 86_400.0
"""Files of unfinished commands that have not been touched for so long are deleted."""


@dataclass(frozen=True)
class Unfinished:
    """The checkpoints and results that a command writes, step by step; they are deleted when it succeeds.

    Attributes:
        folder: Has a subfolder for each variant, or for each step that runs alone, named by its key; and in that, one
            for each step.
        variant: The key of the variant being made; None for a step that runs alone.
    """

    folder: Path
    variant: str | None = None
    _locks: dict[str, FileLock] = field(default_factory=dict)

    def for_variant(self, variant: str) -> Self:
        """Return the same for the steps of one variant."""
        return replace(self, variant=variant)

    def claim(self, variant: str, *, notify: Callable[[str], None]) -> bool:
        """Wait until no other process on this machine makes the same variant: its result is in the registry then.

        Returns:
            Whether another process did, which may have been killed since.
        """
        own = self.for_variant(variant)
        try:
            own._lock(variant)
        except Timeout:
            notify(
                "another command makes the same variant now: this one waits for it, "
                "and continues from its results if that one is killed"
            )
            own._lock(variant, wait=True)
            return True
        except OSError:
            pass  # the folder cannot be written, so no other process uses it either
        return False

    def phase(self, key: str, *, every_s: float, notify: Callable[[str], None]) -> Checkpoints | None:
        """Return the checkpoints of one phase; None if another process trains it, or the folder cannot be written.

        Args:
            key: The key of the phase.
            every_s: Seconds between two checkpoints.
            notify: Called with the reason if there are no checkpoints.
        """
        try:
            return Checkpoints(self._lock(key), every_s)
        except Timeout:
            notify("another command trains the same phase now: this one writes no checkpoints")
        except OSError as error:
            notify(
                f"{self.folder} cannot be written ({error.strerror}): no checkpoints, so a killed command starts again"
            )
        return None

    def result(self, key: str) -> Path | None:
        """Return the folder for the result of a step; None if another process runs it, or nothing can be written."""
        try:
            return self._lock(key) / _RESULT
        except (Timeout, OSError):
            return None

    def finish(self, key: str, run_id: str) -> None:
        """Mark the saved result of a step as complete, record the run that made it, and delete its checkpoints."""
        result = self.result(key)
        if result is not None and result.is_dir():
            (result.parent / _RUN_ID).write_text(run_id, encoding="utf-8")
            for checkpoint in result.parent.glob("[0-9]*"):
                shutil.rmtree(checkpoint, ignore_errors=True)

    def finished(self, key: str) -> tuple[Path, str] | None:
        """Return the result of a step and the run that made it; None if it is missing or incomplete."""
        return self.peek(key) if self.result(key) is not None else None

    def peek(self, key: str) -> tuple[Path, str] | None:
        """Return the same without locking the step, for a command that only looks."""
        step = self._step_folder(key)
        if not (step / _RUN_ID).is_file() or not (step / _RESULT).is_dir():
            return None
        return step / _RESULT, (step / _RUN_ID).read_text(encoding="utf-8")

    def checkpointed(self, key: str) -> int:
        """Return the optimizer step of a phase's last checkpoint, from which it continues; 0 without one."""
        return max(
            (int(path.name) for path in self._step_folder(key).glob("[0-9]*") if path.name.isdecimal()), default=0
        )

    def _step_folder(self, key: str) -> Path:
        return self.folder / (self.variant or key) / key

    @property
    def has_results(self) -> bool:
        """Whether this command has results that it would reuse when it runs again."""
        return any(next((self.folder / name).glob(f"*/{_RUN_ID}"), None) is not None for name in self._locks)

    def forget(self, key: str) -> None:
        """Delete the result and the checkpoints of a step, so that it runs again."""
        if (result := self.result(key)) is not None:
            shutil.rmtree(result.parent, ignore_errors=True)

    def clear(self) -> None:
        """Delete the files of this command, which has succeeded, and those of other commands that have expired."""
        for name in list(self._locks):
            self._delete(name)
        for path in self.folder.glob("*"):
            if time.time() - path.stat().st_mtime > _EXPIRES_AFTER_S:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        self.remove_empty_folders()

    def remove_empty_folders(self) -> None:
        """Delete the folder, and the one around it, where they are empty."""
        for folder in (self.folder, self.folder.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def discard(self, variant: str) -> bool:
        """Delete the files of a variant that is registered, or that will not be finished.

        Returns:
            False if they stay, because another process uses them or they cannot be deleted.
        """
        try:
            if variant in self._locks or (self.folder / variant).is_dir():
                self.for_variant(variant)._lock(variant)
                self._delete(variant)
        except (Timeout, OSError):
            return False
        return not (self.folder / variant).exists()

    def is_in_use(self, variant: str) -> bool:
        """Return whether another process makes the variant now."""
        path = self.folder / f"{variant}.lock"
        try:
            if path.is_file():
                FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            return True
        except OSError:
            pass  # a file of another user, which is no sign that it is in use
        return False

    def release(self) -> None:
        """Release all locks, so that another command can resume the steps."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()

    def _lock(self, key: str, *, wait: bool = False) -> Path:
        """Lock the variant, or the step that runs alone, and return the step's folder, which may not exist yet."""
        name = self.variant or key
        self.folder.mkdir(parents=True, exist_ok=True)
        if name not in self._locks:
            lock = FileLock(self.folder / f"{name}.lock")
            lock.acquire(timeout=-1 if wait else 0)
            self._locks[name] = lock
        return self._step_folder(key)

    def _delete(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / f"{name}.lock").unlink(missing_ok=True)
        self._locks.pop(name).release()
