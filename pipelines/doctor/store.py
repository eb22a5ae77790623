"""The tracking store: where it is, and who looks at it."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
from contextlib import closing
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit

from pipelines.doctor.disk import may_write
from pipelines.doctor.findings import Finding, in_bytes
from sbert_prune.errors import TrackingError
from sbert_prune.tracking.store_uri import check_store, open_database, package_of, reason_of, sqlite_path, tracking_uri, without_password

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


_REVISION = re.compile(r"^revision\s*(?::[^=]+)?=\s*[\"'](\w+)[\"']", re.MULTILINE)
_DOWN = re.compile(r"^down_revision\s*(?::[^=]+)?=\s*(.+)$", re.MULTILINE)


@lru_cache(maxsize=1)
def revisions() -> tuple[frozenset[str], str | None]:
    """All revisions that the installed MLflow knows, and the one that no other follows; None where its scripts say something else."""
    spec = find_spec("mlflow")
    places = spec.submodule_search_locations if spec else None
    scripts = sorted(Path(places[0]).glob("store/db_migrations/versions/*.py")) if places else []
    texts = [script.read_text(encoding="utf-8") for script in scripts]
    known = {match[1] for text in texts if (match := _REVISION.search(text))}
    followed = {name for text in texts if (match := _DOWN.search(text)) for name in re.findall(r"\w+", match[1])}
    heads = known - followed
    return frozenset(known), heads.pop() if len(heads) == 1 else None


def check_schema(found: str | None, tables: set[str], *, where: str, uri: str, backup: str) -> Finding:
    """The row for a database that can be read.

    found: its revision; None without one.  tables: by name.  where: for people.  uri: for a shell, without password.
    backup: a command that copies the database; empty where there is none to give.
    """
    known, head = revisions()
    upgrade = f"{backup}mlflow db upgrade {uri}"
    if found is None and not tables:
        return Finding("store", "ok", f"{where}: empty, MLflow fills it")
    if found is None and "experiments" not in tables:
        advice = f"It holds tables of something else ({', '.join(sorted(tables)[:4])}); MLflow would put its own beside them. Take another."
        return Finding("store", "warn", where, advice, f"export MLFLOW_TRACKING_URI=sqlite:///{shlex.quote(str(Path.cwd()))}/mlflow.db")
    if head is None or found == head:
        return Finding("store", "ok", f"{where}: schema {found}{', as this MLflow has it' * (head is not None)}")
    if found is not None and found not in known:
        advice = f"A newer MLflow than this one ({version('mlflow')}) has written it: use that one, or another store."
        told = f"{where}: schema {found}, unknown to MLflow {version('mlflow')}"
        return Finding("store", "fail", told, advice, f"export MLFLOW_TRACKING_URI=sqlite:///{shlex.quote(str(Path.cwd()))}/mlflow-new.db")
    told = f"{where}: schema {found or 'of old'}, MLflow {version('mlflow')} needs {head}"
    return Finding("store", "fail", told, "An older MLflow has made it: bring it up to date, with a copy kept.", upgrade)


def check_database(uri: str) -> Finding:
    """The row for a database URI; nothing in it shows a password."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    shown = without_password(uri)
    try:
        with open_database(uri).connect() as connection:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            asked = sqlalchemy.text("SELECT version_num FROM alembic_version")
            found = connection.execute(asked).scalar() if "alembic_version" in tables else None
    except ModuleNotFoundError as error:
        advice = f"The driver that this address asks for is not installed ({error.name})."
        return Finding("store", "fail", shown, advice, f"pip install {package_of(error.name)}")
    except (SQLAlchemyError, ValueError) as error:
        advice = "The database does not answer, or not to this user: correct the address; %40 stands for an @ in a password, %2F for a /."
        return Finding(
            "store",
            "fail",
            f"{shown}: {reason_of(error)[:160]}",
            advice,
            f"export MLFLOW_TRACKING_URI={shown.partition('://')[0]}://USER:PASSWORD@HOST/NAME",
        )
    named = '"$MLFLOW_TRACKING_URI"' if os.environ.get("MLFLOW_TRACKING_URI") else shown
    tables = {name for name in tables if not name.startswith("alembic_")}
    return check_schema(str(found) if found else None, tables, where=shown, uri=named, backup="")


_ELSEWHERE = "export MLFLOW_TRACKING_URI=sqlite:///$HOME/mlflow.db"


_DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}


def check_tracking_store() -> Finding:
    """One row for the store that commands would use now."""
    uri = tracking_uri()
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in {"http", "https"} and _has_port(uri):
        from pipelines.doctor.server import check_server

        return check_server(uri)
    if (path := sqlite_path(uri)) is not None and (finding := check_file(path)).is_wrong:
        return finding
    if path is None and scheme in _DATABASES:
        return check_database(uri)
    try:
        check_store()
    except TrackingError as error:
        return Finding("store", "fail", without_password(uri), str(error), _ELSEWHERE)
    return finding if path is not None else Finding("store", "-", f"{without_password(uri)}: not looked at")


def _has_port(uri: str) -> bool:
    try:
        urlsplit(uri).port  # noqa: B018 - it is the asking that fails
    except ValueError:
        return False
    return True
