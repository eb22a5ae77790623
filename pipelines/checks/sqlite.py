"""A SQLite file as tracking store."""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from pipelines.checks.folders import may_write
from pipelines.checks.schema import check_schema
from pipelines.doctor.findings import Finding, in_bytes

_PATIENCE_S = 0.5


def check_file(path: Path) -> Finding:
    """The row for a file that need not be there yet."""
    if not may_write(path.parent):
        return _unwritable(f"the folder {path.parent} cannot be written", path.parent)
    if not path.exists():
        return Finding("store", "ok", f"{path}: not there yet, the first command makes it")
    try:
        path.open("r+b").close()
    except OSError as error:
        return _unwritable(f"{path} cannot be written ({error.strerror})", path)
    return _open(path)


def _open(path: Path) -> Finding:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_PATIENCE_S)) as database:
            return _look(database, path)
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):
            return _no_database(path, str(error))
        advice = "Another program writes to it, or holds it open. Commands wait for 20 s each time; see which one it is."
        return Finding("store", "warn", f"{path}: locked", advice, f"fuser -v {shlex.quote(str(path))}")


def _look(database: sqlite3.Connection, path: Path) -> Finding:
    tables = {str(row[0]) for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    found = database.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in tables else None
    database.execute("BEGIN IMMEDIATE")  # what every write begins with: refused while somebody else writes
    database.execute("ROLLBACK")
    shell = shlex.quote(str(path))
    return check_schema(
        str(found[0]) if found else None,
        {name for name in tables if not name.startswith(("sqlite_", "alembic_"))},
        where=f"{path} ({in_bytes(path.stat().st_size)})",
        uri=f"sqlite:///{shell}",
        backup=f"cp {shell} {shlex.quote(f'{path}.before')} && ",
    )


def _unwritable(found: str, place: Path) -> Finding:
    advice = "Make it yours to write, or work in a folder of your own."
    return Finding("store", "fail", found, advice, f"chmod u+rwX {shlex.quote(str(place))}")


def _no_database(path: Path, reason: str) -> Finding:
    shell, aside = shlex.quote(str(path)), shlex.quote(f"{path}.damaged")
    advice = "It is no SQLite database, or a damaged one: restore it from a copy, or put it aside, and the next command makes a new one."
    return Finding(
        "store", "fail", f"{path} {reason}" if reason.startswith("begins") else f"{path}: {reason}", advice, f"mv {shell} {aside}"
    )
