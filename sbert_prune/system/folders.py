"""A folder that appears whole or not at all."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbert_prune.errors import EncoderError
from sbert_prune.system.processes import Process


@contextmanager
def whole_folder(folder: Path, *, num_bytes: int = 0) -> Iterator[Path]:
    """Yield a folder beside the one asked for, to be written into; it takes that one's name when all went well, and goes when not.

    num_bytes: what will be written at least, to refuse a disk that has no room before anything is written.

    Raises EncoderError when the folder exists and holds something, or cannot be written.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay as they are, "." and ".." get a name
    _check_free(folder)
    beside = folder.with_name(f".{folder.name[:100]}.{Process.own()}-{secrets.token_hex(4)}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_room(folder, num_bytes)
        _clear_dead(folder)
        beside.mkdir()
        yield beside
        _check_free(folder)  # somebody else may have been faster
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        if error.filename and not str(error.filename).startswith((str(beside), str(folder.parent))):
            raise EncoderError(f"{error.filename} could not be read: {reason}. Nothing was written to {folder}.") from error
        raise EncoderError(f"{folder} could not be written: {reason}. Nothing is left of it. Make room, or name another folder.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise EncoderError(f"{folder} is there already and is not empty. Name a new folder.")


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < num_bytes:
        left = f"{folder.parent} has {free / 1e6:,.0f} MB left"
        raise EncoderError(f"{folder} needs {num_bytes / 1e6:,.0f} MB, and {left}. Make room, or name another folder.")


def _clear_dead(folder: Path) -> None:
    """Remove what a killed process of this machine left of the same folder."""
    pattern = re.compile(rf"\.{re.escape(folder.name[:100])}\.(.+)-[0-9a-f]+\.partial")
    for path in folder.parent.iterdir():
        match = pattern.fullmatch(path.name)
        process = Process.parse(match[1]) if match else None
        if process is not None and process.runs is False:
            shutil.rmtree(path, ignore_errors=True)


_PREFIX = "sbert-prune-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """All temporary files of this process, MLflow's downloads among them, lie in one folder meanwhile. Raises OSError."""
    before = tempfile.tempdir
    _clear_dead_scratch(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{Process.own()}-") as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def dead_folders(place: Path) -> Iterator[Path]:
    """What processes of this machine that were killed have left there."""
    for folder in place.glob(f"{_PREFIX}*"):
        process = Process.parse(folder.name.removeprefix(_PREFIX).rpartition("-")[0])
        if process is not None and process.runs is False:
            yield folder


def _clear_dead_scratch(place: Path) -> None:
    for folder in dead_folders(place):
        shutil.rmtree(folder, ignore_errors=True)
