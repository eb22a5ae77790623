"""Locks on a store: how long a command waits for one, and which process holds it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.secrets import without_password

TIMEOUT_S = 10.0
_MAX_WAITS = 8  # for a process that is at work: initialising a fresh store takes a slow machine a minute


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock.

    Attributes:
        pid: Its id.
        command: How it was started; empty if that cannot be read.
        is_stopped: Whether it is stopped, by Ctrl-Z or SIGSTOP, and releases nothing until it continues.
    """

    pid: int
    command: str
    is_stopped: bool

    def __str__(self) -> str:
        command = f" ({self.command})" if self.command else ""
        if self.is_stopped:
            return f"process {self.pid}{command}, which is stopped. Continue it: kill -CONT {self.pid}; or end it"
        return f"process {self.pid}{command}. Wait for it, or end it"


def holder_of(path: Path) -> Holder | None:
    """Return another process that holds a lock on a file; None if that cannot be determined (on Linux alone it can)."""
    with suppress(OSError, psutil.Error):
        files = [file for end in ("", "-wal", "-shm", "-journal") if (file := Path(f"{path}{end}")).exists()]
        inodes = {str(file.stat().st_ino) for file in files}
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()  # such as "1: POSIX ADVISORY WRITE 5551 fe:00:2672617 1073741825 1073741825"
            if "->" in fields or fields[5].rpartition(":")[2] not in inodes or int(fields[4]) in {0, -1, os.getpid()}:
                continue
            process = psutil.Process(int(fields[4]))
            if {str(file.resolve()) for file in files} & {entry.path for entry in process.open_files()}:
                command = without_password(" ".join(process.cmdline()))[:120]
                return Holder(process.pid, command, process.status() == psutil.STATUS_STOPPED)
    return None


def _held(path: Path, holder: Holder | None) -> str:
    return f"held by {holder}" if holder else f"held by another process. Find it: fuser -v {path}"


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock file; wait for a process at work, and not for one that is stopped. Raises TrackingError."""
    lock = FileLock(path)
    for attempt in range(_MAX_WAITS):
        try:
            lock.acquire(timeout=TIMEOUT_S)
            break
        except Timeout:
            holder = holder_of(path)
            if attempt == _MAX_WAITS - 1 or (holder is not None and holder.is_stopped):
                raise TrackingError(f"The tracking store is locked: {path} is {_held(path, holder)}.") from None
    try:
        yield
    finally:
        lock.release()


def check_usable(path: Path, *, writes: bool) -> None:
    """Refuse a SQLite store that another process keeps locked, or that cannot be written.

    MLflow would report it with a traceback, after several waits of 20 s.

    Args:
        path: The file, which need not exist.
        writes: Whether it is to be written; others may read beside a process that writes, except while it commits.

    Raises:
        TrackingError: It cannot be used.
    """
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(path, timeout=TIMEOUT_S, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE" if writes else "BEGIN")  # the start of every write
            database.execute("SELECT count(*) FROM sqlite_master")
            database.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        raise TrackingError(_reason(path, error)) from error


def _reason(path: Path, error: sqlite3.DatabaseError) -> str:
    if "locked" in str(error):
        return f"The tracking store {path} is locked: it is {_held(path, holder_of(path))}."
    if "readonly" in str(error):
        return (
            f"The tracking store {path} is read-only ({error}). Make the file and its folder writable for this user, "
            "or set MLFLOW_TRACKING_URI."
        )
    return f"The tracking store {path} cannot be opened: {error}. Restore a backup, or set MLFLOW_TRACKING_URI."
