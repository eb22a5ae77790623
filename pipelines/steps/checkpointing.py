"""Where the steps of a command lie until it has done its work, so that after a kill the same command can take them up again."""

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

_FORGOTTEN_S = 30 * 86_400.0
"""After so long without being touched, nobody goes on with it."""


@dataclass(frozen=True)
class Unfinished:
    """The checkpoints and results that a command writes, step by step; they go when the command has done its work.

    folder: one folder a variant in it, or a step that is done alone, named by its key; and in that, one a step.
    variant: the key of what is under way; None for a step that is done alone.
    """

    folder: Path
    variant: str | None = None
    _held: dict[str, FileLock] = field(default_factory=dict)

    def of(self, variant: str) -> Self:
        """The same for the steps of one variant."""
        return replace(self, variant=variant)

    def claim(self, variant: str, *, notify: Callable[[str], None]) -> None:
        """Wait until no other process here makes the same variant: what it has made is in the registry then."""
        own = self.of(variant)
        try:
            own._hold(variant)
        except Timeout:
            notify(
                "another command makes the very same variant now: this one waits for it, and takes over what is left if that one is killed"
            )
            own._hold(variant, wait=True)
        except OSError:
            return  # nothing can be written here, so nobody else is at it either

    def phase(self, key: str, *, every_s: float, notify: Callable[[str], None]) -> Checkpoints | None:
        """The checkpoints of one phase; None where another process is at the very same one, or nothing can be written here."""
        try:
            return Checkpoints(self._hold(key), every_s)
        except Timeout:
            notify("another command trains the very same phase now: this one writes no checkpoints")
        except OSError as error:
            notify(
                f"{self.folder} cannot be written ({error.strerror}): no checkpoints, so a killed command begins anew"
            )
        return None

    def result(self, key: str) -> Path | None:
        """Where the result of a step lies, or is to lie; None where another process is at the very same one, or nothing can be written."""
        try:
            return self._hold(key) / _RESULT
        except (Timeout, OSError):
            return None

    def finish(self, key: str, run_id: str) -> None:
        """The step's result is saved: it names the run that made it, and its checkpoints go."""
        place = self.result(key)
        if place is not None and place.is_dir():
            (place.parent / _RUN_ID).write_text(run_id, encoding="utf-8")
            for checkpoint in place.parent.glob("[0-9]*"):
                shutil.rmtree(checkpoint, ignore_errors=True)

    def finished(self, key: str) -> tuple[Path, str] | None:
        """The result of a step, and the run that made it; None where it is not there, or not whole."""
        place = self.result(key)
        if place is None or not (place.parent / _RUN_ID).is_file() or not place.is_dir():
            return None
        return place, (place.parent / _RUN_ID).read_text(encoding="utf-8")

    @property
    def has_results(self) -> bool:
        """Whether this command has made something that it would find again."""
        return any(next((self.folder / name).glob(f"*/{_RUN_ID}"), None) is not None for name in self._held)

    def forget(self, key: str) -> None:
        """The step is to be done anew."""
        if (place := self.result(key)) is not None:
            shutil.rmtree(place.parent, ignore_errors=True)

    def clear(self) -> None:
        """The command has done its work: what it wrote goes, and what was forgotten long ago."""
        for name in list(self._held):
            self._drop(name)
        for old in self.folder.glob("*"):
            if time.time() - old.stat().st_mtime > _FORGOTTEN_S:
                shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
        for empty in (self.folder, self.folder.parent):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()

    def discard(self, variant: str) -> bool:
        """The variant is registered, or nobody will go on with it: what a killed command has left of its making goes.

        False where it stays: another process is at it, or it cannot be deleted.
        """
        try:
            if variant in self._held or (self.folder / variant).is_dir():
                self.of(variant)._hold(variant)
                self._drop(variant)
        except (Timeout, OSError):
            return False
        return not (self.folder / variant).exists()

    def is_in_use(self, variant: str) -> bool:
        """Whether another process is at it now."""
        place = self.folder / f"{variant}.lock"
        try:
            if place.is_file():
                FileLock(place).acquire(timeout=0).lock.release()
        except Timeout:
            return True
        except OSError:
            pass  # another user's, which does not say that it is in use
        return False

    def release(self) -> None:
        """Let another command take the steps up."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()

    def _hold(self, key: str, *, wait: bool = False) -> Path:
        """Keep others off what is under way; returns the step's folder, which need not be there yet."""
        name = self.variant or key
        self.folder.mkdir(parents=True, exist_ok=True)
        if name not in self._held:
            lock = FileLock(self.folder / f"{name}.lock")
            lock.acquire(timeout=-1 if wait else 0)
            self._held[name] = lock
        return self.folder / name / key

    def _drop(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / f"{name}.lock").unlink(missing_ok=True)
        self._held.pop(name).release()
