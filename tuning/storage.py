"""Where a study is stored, a database or a journal, checked without importing Optuna, to answer within a second."""

from __future__ import annotations

import json
import os
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sbert_prune.errors import SearchError
from sbert_prune.tracking.secrets import masked_uri, remember
from sbert_prune.tracking.store_uri import open_database, package_of, reason_of, tracking_uri

if TYPE_CHECKING:
    from sqlalchemy import URL


def check_storage(url: str) -> None:
    """Check that a database answers and is not MLflow's own; nothing is created in it.

    Args:
        url: As SQLAlchemy reads it, such as postgresql://USER@HOST/NAME.

    Raises:
        SearchError: Within a second, or five for a database that hangs.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    remember(url)
    try:
        parts = make_url(url)
        if _location(parts) == _location(make_url(tracking_uri())):
            raise SearchError(
                f"storage={masked_uri(url)} is MLflow's own database, and Optuna's tables do not go with "
                "MLflow's. Give another one, or leave storage out."
            )
        if parts.get_backend_name() == "sqlite":
            _check_file(parts.database)  # connecting would create the file
        else:
            open_database(url).connect().close()
    except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
        raise unusable(url, error) from error


def unusable(storage: str, error: Exception) -> SearchError:
    """Return the error for a storage that cannot be used: the URL of a database, or the path of a journal."""
    if isinstance(error, ModuleNotFoundError):
        reason = f"its database driver is not installed ({error.name}). Run: pip install {package_of(error.name)}"
    else:
        reason = reason_of(error)
    return SearchError(f"storage={masked_uri(storage)} cannot be used: {reason}")


def _location(parts: URL) -> tuple[object, ...]:
    """Return what identifies a database, without user and driver."""
    if parts.get_backend_name() == "sqlite":
        return ("sqlite", Path(parts.database or "").resolve())
    return (parts.get_backend_name(), parts.host, parts.port, parts.database)


def _check_file(name: str | None) -> None:
    """Check that a SQLite file can be written, or created. Raises OSError or ValueError."""
    if not name or name == ":memory:":
        raise ValueError("a database in memory ends with the command. Give a file: sqlite:///FOLDER/study.db")
    path = Path(name)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written; give a file in a folder that exists and is yours")


_LOCK_GRACE_S = 30.0
"""After this, Optuna takes a lock for one that a killed process has left: a process needs milliseconds."""
_RECORD = b'{"op_code":'


def release_dangling_lock(journal: Path) -> None:
    """Remove the lock of a journal that a killed process has left, where it is a link to a path that does not exist.

    Optuna follows the link to read its age, and would wait for ever.
    """
    lock = journal.with_name(f"{journal.name}.lock")
    deadline = time.monotonic() + _LOCK_GRACE_S
    with suppress(FileNotFoundError):  # released
        made = lock.lstat().st_mtime_ns
        while not lock.exists() and lock.lstat().st_mtime_ns == made:
            if time.monotonic() > deadline:
                lock.unlink()
            time.sleep(0.05)


def complete_records(journal: Path) -> bytes:
    """Return the content of a journal without a record that a killed process or a full disk has cut off.

    Raises:
        SearchError: A line is broken otherwise.
    """
    *lines, _cut_off = journal.read_bytes().split(b"\n")
    return b"".join(_complete(line, journal, number) + b"\n" for number, line in enumerate(lines, start=1))


def _complete(line: bytes, journal: Path, number: int) -> bytes:
    """Return a line, or the record that was appended to one that was cut off."""
    for candidate in (line, line[max(line.rfind(_RECORD), 0) :]):
        with suppress(ValueError):
            if isinstance(json.loads(candidate), dict):
                return candidate
    rename = f"mv {shlex.quote(str(journal))} {shlex.quote(f'{journal}.damaged')}"
    raise SearchError(
        f"{journal} is damaged: its line {number} is no record of Optuna's. Restore a backup, "
        f"or rename the file to begin the search anew: {rename}"
    )
