"""Folders that appear whole or not at all, and temporary ones that do not outlive a killed process for long."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path

from sbert_prune.errors import EncoderError
from sbert_prune.system.processes import Process


@contextmanager
def whole_folder(folder: Path, *, num_bytes: int = 0) -> Iterator[Path]:
    """Yield a temporary folder to write into, and rename it to `folder` at the end; after an error, remove it.

    Args:
        folder: The result. It may exist if it is empty.
        num_bytes: The least that will be written. Less free disk space is an error before anything is written.

    Raises:
        EncoderError: The folder is not empty or cannot be written, or the disk is too full.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - keeps links, but resolves "." and ".."
    _check_free(folder)
    partial = folder.with_name(f".{folder.name[:100]}.{Process.current()}-{secrets.token_hex(4)}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_disk_space(folder, num_bytes)
        _remove_orphans(folder)
        partial.mkdir()
        yield partial
        _check_free(folder)  # another process may have written it meanwhile
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        if error.filename and not str(error.filename).startswith((str(partial), str(folder.parent))):
            raise EncoderError(
                f"{error.filename} could not be read: {reason}. Nothing was written to {folder}."
            ) from error
        raise EncoderError(
            f"{folder} could not be written: {reason}. No partial folder was left. "
            "Free disk space, or give another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise EncoderError(f"{folder} already exists and is not empty. Give a new folder.")


def _check_disk_space(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < num_bytes:
        raise EncoderError(
            f"{folder} needs {num_bytes / 1e6:,.0f} MB, and {folder.parent} has {free / 1e6:,.0f} MB left. "
            "Free disk space, or give another folder."
        )


def _remove_orphans(folder: Path) -> None:
    """Remove what a killed process of this machine left of the same folder."""
    pattern = re.compile(rf"\.{re.escape(folder.name[:100])}\.(.+)-[0-9a-f]+\.partial")
    for path in folder.parent.iterdir():
        match = pattern.fullmatch(path.name)
        process = Process.parse(match[1]) if match else None
        if process is not None and process.is_running is False:
            shutil.rmtree(path, ignore_errors=True)


_PREFIX = "sbert-prune-"
_LAST = -101  # with -100, multiprocessing removes its own folder, which may lie inside
SHORT_FOLDER = "/tmp"
"""A parent for folders with sockets, whose paths have 108 characters at most."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Collect all temporary files of this process, such as MLflow's downloads, in one folder, and remove it at the end.

    Raises:
        OSError: The folder cannot be made.
    """
    before = tempfile.tempdir
    remove_orphaned_folders()
    with tempfile.TemporaryDirectory(prefix=_own_prefix()) as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before
    remove_orphaned_folders()  # of a command that this one has taken over from


def folder_until_exit(parent: str | None = None) -> str:
    """Make a temporary folder that is removed when this process ends; if it is killed, by the next `scratch_folder`."""
    folder = tempfile.mkdtemp(prefix=_own_prefix(), dir=parent)
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=_LAST)
    return folder


def _own_prefix() -> str:
    return f"{_PREFIX}{Process.current()}-"


def remove_orphaned_folders() -> None:
    """Remove the temporary folders that killed processes of this machine left."""
    for parent in {tempfile.gettempdir(), SHORT_FOLDER}:
        for folder in Path(parent).glob(f"{_PREFIX}*"):
            process = Process.parse(folder.name.removeprefix(_PREFIX).rpartition("-")[0])
            if process is not None and process.is_running is False:
                shutil.rmtree(folder, ignore_errors=True)
