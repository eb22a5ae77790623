"""Make a SQLite store that was moved or copied name its artifacts where they are now. Imports no MLflow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import count
from pathlib import Path

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.experiment import is_misplaced, local_folder, original_folder
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.locks import check_usable
from sbert_prune.tracking.spool import queue_prefix
from sbert_prune.tracking.store_uri import own_folder, sqlite_path, tracking_uri

LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""The columns with locations of artifacts, by table."""

_OPEN_RUNS = """
    SELECT runs.name, tags.value FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
    WHERE runs.status = 'RUNNING' AND tags.key = 'sbert_prune.heartbeat'
"""


def adopt() -> list[str]:
    """Rewrite the locations in the store of the current folder, or of MLFLOW_TRACKING_URI, after a copy of its file.

    Everything is rewritten in one transaction, or nothing. The queue of what could not be recorded follows.

    Returns:
        What was done, as lines.

    Raises:
        TrackingError: The store is no SQLite file, its artifacts are not beside it, or a command is at work on it.
    """
    path = sqlite_path(tracking_uri())
    if path is None:
        raise TrackingError("adopt=true: only a SQLite store beside its artifacts can be adopted. Leave adopt out.")
    check_usable(path, writes=True)
    folder = path.parent.resolve()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")  # nothing changes between the copy and the commit
        locations = [str(row[0]) for row in database.execute("SELECT artifact_location FROM experiments")]
        old_folders = {original_folder(location) for location in locations if is_misplaced(path, location)}
        olds = sorted(old for old in old_folders if old is not None)
        if not olds:
            return [f"{path} names its artifacts where they are: there is nothing to adopt"]
        listed = ", ".join(map(str, olds))
        is_copy = any((old / path.name).is_file() for old in olds)
        if not is_copy:  # in a copy, open runs are those of commands that work on the original
            _check_idle(path, database.execute(_OPEN_RUNS))
        if not any(
            (place := local_folder(_moved(at, old, folder))) and place.exists() for at in locations for old in olds
        ):
            raise TrackingError(
                f"{folder}: the artifacts that the store names in {listed} are not here. "
                "Bring the folder mlruns here as well, and repeat this."
            )
        backup = next(copy for number in count(1) if not (copy := Path(f"{path}.before-{number}")).exists())
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
            source.backup(target)
        changed = sum(rewrite(database, str(old), str(folder)) for old in olds)
        database.execute("COMMIT")
    spool = own_folder() / "spool"
    for old in olds:  # the names of its files begin with a digest of the store's address
        before, now = queue_prefix(f"sqlite:///{old / path.name}"), queue_prefix(tracking_uri())
        for file in sorted(spool.glob(f"{before}-*")):
            file.rename(file.with_name(file.name.replace(before, now, 1)))
    line = f"{changed:,} locations in {path} name {folder} now, instead of {listed}; as it was before: {backup}"
    return [line, f"it is a store of its own from now on: {listed} is not changed"] if is_copy else [line]


def rewrite(database: sqlite3.Connection, old_folder: str, new_folder: str) -> int:
    """Replace a folder at the beginning of all locations of artifacts; return how many were changed."""

    database.create_function("moved", 1, lambda location: location and _moved(location, old_folder, new_folder))
    return sum(
        database.execute(f"UPDATE {table} SET {column} = moved({column}) WHERE moved({column}) <> {column}").rowcount
        for table, columns in LOCATIONS.items()
        for column in columns
    )


def _moved(location: str, old_folder: str | Path, new_folder: str | Path) -> str:
    place = local_folder(location)
    if place is None or not place.is_relative_to(old_folder):
        return location
    now = Path(new_folder, place.relative_to(old_folder))
    return now.as_uri() if location.startswith("file:") else str(now)


def _check_idle(path: Path, open_runs: Iterable[tuple[str, str]]) -> None:
    for name, tag in open_runs:
        heartbeat = Heartbeat.parse(tag)
        if heartbeat is not None and not heartbeat.is_of_dead_process:
            raise TrackingError(
                f"{path}: another command is at work on it (run {name}, on {heartbeat.host}). "
                "Wait until it has ended, or end it, and repeat this."
            )
