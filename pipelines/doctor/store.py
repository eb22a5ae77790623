"""Check the tracking store: a SQLite file, another database, or a server."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pipelines.doctor.disk import artifacts_problem, may_write
from pipelines.doctor.findings import Finding, in_bytes
from sbert_prune.errors import TrackingError
from sbert_prune.tracking.experiment import (
    DEFAULT,
    Problem,
    chosen_experiment,
    deleted,
    misplaced,
    unknown,
)
from sbert_prune.tracking.secrets import masked_uri
from sbert_prune.tracking.store_uri import (
    check_store,
    open_database,
    package_of,
    reason_of,
    sqlite_path,
    tracking_uri,
)

_TIMEOUT_S = 0.5


def check_file(path: Path, experiment: str = DEFAULT) -> Finding:
    """Check a SQLite file, which need not exist yet."""
    if not may_write(path.parent):
        return _unwritable(f"the folder {path.parent} cannot be written", path.parent)
    if not path.exists():
        if (experiment_id := chosen_experiment()[0]) not in {None, "0"}:
            return _problem(unknown(str(experiment_id)))
        return Finding("store", "ok", f"{path}: does not exist yet, the first command creates it")
    try:
        path.open("r+b").close()
    except OSError as error:
        return _unwritable(f"{path} cannot be written ({error.strerror})", path)
    return _open(path, experiment)


def _open(path: Path, experiment: str) -> Finding:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_TIMEOUT_S)) as database:
            return _check_contents(database, path, experiment)
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):
            return _no_database(path, str(error))
        advice = "Another program is writing to it or has locked it. Commands wait up to 20 s each time; find it."
        return Finding("store", "warn", f"{path}: locked", advice, f"fuser -v {shlex.quote(str(path))}")


def _check_contents(database: sqlite3.Connection, path: Path, experiment: str) -> Finding:
    tables = {str(row[0]) for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    row = (
        database.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in tables else None
    )
    database.execute("BEGIN IMMEDIATE")  # the start of every write: refused while another program writes
    database.execute("ROLLBACK")
    shell = shlex.quote(str(path))
    finding = check_schema(
        str(row[0]) if row else None,
        {name for name in tables if not name.startswith(("sqlite_", "alembic_"))},
        where=f"{path} ({in_bytes(path.stat().st_size)})",
        uri=f"sqlite:///{shell}",
        backup=f"cp {shell} {shlex.quote(f'{path}.before')} && ",
    )
    if finding.state != "ok" or "experiments" not in tables:
        return finding

    def fetch_row(query: str, value: str) -> Any:
        return database.execute(query, (value,)).fetchone()

    return _check_experiment(fetch_row, path, experiment) or finding


def _check_experiment(fetch_row: Callable[[str, str], Any], path: Path | None, experiment: str) -> Finding | None:
    """Find what makes every command refuse the store: moved or copied, or an experiment that takes no runs or models.

    Args:
        fetch_row: Returns the first row of a query with one value, `?`.
        path: The SQLite file; None for another database.
        experiment: The name that counts where the environment chooses none.
    """
    experiment_id, name = chosen_experiment(experiment)
    column, value = ("experiment_id", experiment_id) if experiment_id is not None else ("name", name)
    query = f"SELECT experiment_id, name, artifact_location, lifecycle_stage FROM experiments WHERE {column} = ?"
    row = fetch_row(query, value) if column == "name" or value.isdecimal() else None
    if row is None and name == experiment != DEFAULT:  # a command will create it beside the default one
        return _check_experiment(fetch_row, path, DEFAULT)
    if row is None:
        return _problem(unknown(experiment_id)) if experiment_id is not None else None
    experiment_id, name, location, stage = map(str, row)

    def has_runs() -> bool:
        whose = "? IS NOT NULL" if name == DEFAULT else "experiment_id = ?"  # the others have theirs beside Default's
        return fetch_row(f"SELECT 1 FROM runs WHERE {whose} LIMIT 1", experiment_id) is not None

    problem = misplaced(path, location, has_runs=has_runs) if path is not None else None
    if problem is None and stage == "deleted":
        problem = deleted(experiment_id, name)
    problem = problem or artifacts_problem(location)
    return _problem(problem) if problem is not None else None


def _problem(problem: Problem) -> Finding:
    return Finding("store", "fail", problem.found, problem.advice, problem.command)


def _unwritable(problem: str, path: Path) -> Finding:
    advice = "Change its permissions, or work in a folder of your own."
    return Finding("store", "fail", problem, advice, f"chmod u+rwX {shlex.quote(str(path))}")


def _no_database(path: Path, reason: str) -> Finding:
    shell, aside = shlex.quote(str(path)), shlex.quote(f"{path}.damaged")
    advice = (
        "It is not a SQLite database, or it is damaged: "
        "restore a backup, or rename it, and the next command creates a new one."
    )
    problem = f"{path} {reason}" if reason.startswith("begins") else f"{path}: {reason}"
    return Finding("store", "fail", problem, advice, f"mv {shell} {aside}")


_REVISION = re.compile(r"^revision\s*(?::[^=]+)?=\s*[\"'](\w+)[\"']", re.MULTILINE)
_DOWN_REVISION = re.compile(r"^down_revision\s*(?::[^=]+)?=\s*(.+)$", re.MULTILINE)


@lru_cache(maxsize=1)
def revisions() -> tuple[frozenset[str], str | None]:
    """Return all schema revisions of the installed MLflow, and the newest; None where there is no single newest one.

    The scripts are read as text: importing MLflow takes seconds.
    """
    spec = find_spec("mlflow")
    folders = spec.submodule_search_locations if spec else None
    scripts = sorted(Path(folders[0]).glob("store/db_migrations/versions/*.py")) if folders else []
    texts = [script.read_text(encoding="utf-8") for script in scripts]
    known = {match[1] for text in texts if (match := _REVISION.search(text))}
    followed = {
        name for text in texts if (match := _DOWN_REVISION.search(text)) for name in re.findall(r"\w+", match[1])
    }
    heads = known - followed
    return frozenset(known), heads.pop() if len(heads) == 1 else None


def check_schema(revision: str | None, tables: set[str], *, where: str, uri: str, backup: str) -> Finding:
    """Check the schema of a database.

    Args:
        revision: Its revision; None without one.
        tables: The names of its tables.
        where: Description of the database, for the finding.
        uri: Quoted for a shell, without password.
        backup: A command that copies the database, ending in " && "; or empty.
    """
    known, head = revisions()
    upgrade, here = f"{backup}mlflow db upgrade {uri}", f"sqlite:///{shlex.quote(str(Path.cwd()))}"
    if revision is None and not tables:
        return Finding("store", "ok", f"{where}: empty, MLflow creates its tables")
    if revision is None and "experiments" not in tables:
        names = ", ".join(sorted(tables)[:4])
        advice = f"It has tables of another program ({names}), and MLflow would add its own: use another database."
        return Finding("store", "warn", where, advice, f"export MLFLOW_TRACKING_URI={here}/mlflow.db")
    if head is None or revision == head:
        return Finding("store", "ok", f"{where}: schema {revision}{', that of this MLflow' * (head is not None)}")
    if revision is not None and revision not in known:
        advice = f"A newer MLflow than this one ({version('mlflow')}) wrote it: use that version, or another store."
        summary = f"{where}: schema {revision}, unknown to MLflow {version('mlflow')}"
        return Finding("store", "fail", summary, advice, f"export MLFLOW_TRACKING_URI={here}/mlflow-new.db")
    summary = f"{where}: schema {revision or 'without a revision'}, MLflow {version('mlflow')} needs {head}"
    return Finding("store", "fail", summary, "An older MLflow created it: upgrade it, after a backup.", upgrade)


def check_database(uri: str, experiment: str = DEFAULT) -> Finding:
    """Check the database at a URI; the finding shows no password."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    shown = masked_uri(uri)
    try:
        with open_database(uri).connect() as connection:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            query = sqlalchemy.text("SELECT version_num FROM alembic_version")
            revision = connection.execute(query).scalar() if "alembic_version" in tables else None

            def fetch_row(query: str, value: str) -> Any:
                return connection.execute(sqlalchemy.text(query.replace("?", ":value")), {"value": value}).first()

            refused = _check_experiment(fetch_row, None, experiment) if "experiments" in tables else None
    except ModuleNotFoundError as error:
        advice = f"The database driver {error.name} is not installed."
        return Finding("store", "fail", shown, advice, f"pip install {package_of(error.name)}")
    except (SQLAlchemyError, ValueError) as error:
        advice = (
            "The database does not answer or refuses this user: correct the address; "
            "write %40 for an @ in a password, %2F for a /."
        )
        command = f"export MLFLOW_TRACKING_URI={shown.partition('://')[0]}://USER:PASSWORD@HOST/NAME"
        return Finding("store", "fail", f"{shown}: {reason_of(error)[:160]}", advice, command)
    address = '"$MLFLOW_TRACKING_URI"' if os.environ.get("MLFLOW_TRACKING_URI") else shown
    tables = {name for name in tables if not name.startswith("alembic_")}
    finding = check_schema(str(revision) if revision else None, tables, where=shown, uri=address, backup="")
    return refused if refused is not None and finding.state == "ok" else finding


_ELSEWHERE = "export MLFLOW_TRACKING_URI=sqlite:///$HOME/mlflow.db"


_DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}


def check_tracking_store(experiment: str = DEFAULT) -> Finding:
    """Check the store and the experiment that commands would use now."""
    uri = tracking_uri()
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in {"http", "https"} and _has_port(uri):
        from pipelines.doctor.server import check_server

        return check_server(uri, experiment)
    if (path := sqlite_path(uri)) is not None and (finding := check_file(path, experiment)).is_wrong:
        return finding
    if path is None and scheme in _DATABASES:
        return check_database(uri, experiment)
    try:
        check_store()
    except TrackingError as error:
        return Finding("store", "fail", masked_uri(uri), str(error), _ELSEWHERE)
    return finding if path is not None else Finding("store", "-", f"{masked_uri(uri)}: not checked")


def _has_port(uri: str) -> bool:
    try:
        urlsplit(uri).port  # noqa: B018 - the attribute raises
    except ValueError:
        return False
    return True
