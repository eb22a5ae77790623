"""Make a SQLite store that was moved or copied name its artifacts where they are now. Imports no MLflow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
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
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")  # nothing changes between the copy and the commit
        rows = database.execute("SELECT artifact_location FROM experiments").fetchall()
        folders = {original_folder(location) for (location,) in rows if is_misplaced(path, location)}
        old_folders = sorted(folder for folder in folders if folder is not None)
        if not old_folders:
            return [f"{path} names its artifacts where they are: there is nothing to adopt"]
        new_folder = path.parent.resolve()
        is_copy = any((folder / path.name).is_file() for folder in old_folders)
        if not is_copy:  # in a copy, open runs are those of commands that work on the original
            _check_idle(path, database.execute(_OPEN_RUNS))
        _check_artifacts(database, old_folders, new_folder)
        backup = _copy(path)
        count = sum(rewrite(database, str(folder), str(new_folder)) for folder in old_folders)
        database.execute("COMMIT")
    for folder in old_folders:
        _adopt_queue(f"sqlite:///{folder / path.name}")
    listed = ", ".join(map(str, old_folders))
    independent = [f"it is a store of its own from now on: {listed} is not changed, and shares nothing with it"]
    return [
        f"{count:,} locations in {path} name {new_folder} now, instead of {listed}; as it was before: {backup}",
        *(independent if is_copy else []),
    ]


def rewrite(database: sqlite3.Connection, old_folder: str, new_folder: str) -> int:
    """Replace a folder at the beginning of all locations of artifacts; return how many were changed."""

    def moved(location: str | None) -> str | None:
        folder = None if location is None else local_folder(location)
        if folder is None or not folder.is_relative_to(old_folder):
            return location
        now = Path(new_folder, folder.relative_to(old_folder))
        return now.as_uri() if str(location).startswith("file:") else str(now)

    database.create_function("moved", 1, moved, deterministic=True)
    return sum(
        database.execute(
            f"UPDATE {table} SET {column} = moved({column}) WHERE {column} IS NOT moved({column})"
        ).rowcount
        for table, columns in LOCATIONS.items()
        for column in columns
    )


def _check_idle(path: Path, open_runs: Iterable[tuple[str, str]]) -> None:
    for name, tag in open_runs:
        heartbeat = Heartbeat.parse(tag)
        if heartbeat is not None and not heartbeat.is_of_dead_process:
            raise TrackingError(
                f"{path}: another command is at work on it (run {name}, on {heartbeat.host}). "
                "Wait until it has ended, or end it, and repeat this."
            )


def _check_artifacts(database: sqlite3.Connection, old_folders: list[Path], new_folder: Path) -> None:
    """Refuse a store whose artifacts were not moved along: of what it names, some has to be here."""
    query = "SELECT artifact_location FROM logged_models UNION SELECT artifact_uri FROM runs"
    named = [local_folder(location) for (location,) in database.execute(query)]
    moved = [
        new_folder / place.relative_to(old)
        for place in named
        if place is not None
        for old in old_folders
        if place.is_relative_to(old)
    ]
    if moved and not any(place.exists() for place in moved):
        raise TrackingError(
            f"{new_folder}: none of the {len(moved):,} artifact folders that the store names in "
            f"{', '.join(map(str, old_folders))} is here, the first would be {moved[0]}. "
            "Bring the folder mlruns here as well, and repeat this."
        )


def _copy(path: Path) -> Path:
    number = next(number for number in range(1, 1000) if not Path(f"{path}.before-{number}").exists())
    copy = Path(f"{path}.before-{number}")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def _adopt_queue(old_uri: str) -> None:
    """Rename the files of the queue, whose names begin with a digest of the store's address."""
    before, now = queue_prefix(old_uri), queue_prefix(tracking_uri())
    for file in sorted((own_folder() / "spool").glob(f"{before}-*")):
        file.rename(file.with_name(file.name.replace(before, now, 1)))
