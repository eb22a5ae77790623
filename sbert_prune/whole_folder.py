"""A folder that appears whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbert_prune.errors import EncoderError


@contextmanager
def whole_folder(folder: Path, *, num_bytes: int = 0) -> Iterator[Path]:
    """Yield a folder beside the one asked for, to be written into; it takes that one's name when all went well, and goes when not.

    num_bytes: what will be written at least, to refuse a disk that has no room before anything is written.

    Raises EncoderError when the folder exists and holds something, or cannot be written.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise EncoderError(f"{folder} is there already and is not empty. Name a new folder.")
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_room(folder, num_bytes)
        _clear_dead(folder)
        beside.mkdir()
        yield beside
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except OSError as error:
        raise EncoderError(
            f"{folder} could not be written: {error.strerror or error}. Nothing is left of it. Make room, or name another folder."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < num_bytes:
        left = f"{folder.parent} has {free / 1e6:,.0f} MB left"
        raise EncoderError(f"{folder} needs {num_bytes / 1e6:,.0f} MB, and {left}. Make room, or name another folder.")


def _clear_dead(folder: Path) -> None:
    """Remove what a process that was killed while it wrote the same folder has left."""
    for left in folder.parent.glob(f".{folder.name}.*.partial"):
        pid = left.name.split(".")[-2]
        if pid.isdecimal():
            try:
                os.kill(int(pid), 0)  # 0 sends nothing: it asks whether the process is there
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)
            except PermissionError:
                continue
