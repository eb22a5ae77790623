"""What makes an experiment unusable: it was moved, deleted, or its artifacts cannot be stored. Imports no MLflow."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sbert_prune.system.command_line import command_line

if TYPE_CHECKING:
    from collections.abc import Callable


_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # two letters at least: C: is a disk


@dataclass(frozen=True)
class Problem:
    """Why nothing can be recorded.

    Attributes:
        found: What is wrong.
        advice: What to do.
        command: The command that does it.
    """

    found: str
    advice: str
    command: str

    def __str__(self) -> str:
        return f"{self.found}. {self.advice}"


DEFAULT = "Default"
"""The experiment that every store of MLflow has."""


def chosen_experiment(name: str = DEFAULT) -> tuple[str | None, str]:
    """Return the id of the experiment that the environment chooses, or None, and the name that counts then.

    An empty variable is one that is not set.

    Args:
        name: The name that counts where the environment chooses none.
    """
    experiment_id, named = (os.environ.get(f"MLFLOW_EXPERIMENT_{key}", "") for key in ("ID", "NAME"))
    return experiment_id.strip() or None, named if named.strip() else name


def unknown(experiment_id: str) -> Problem:
    """Return the problem of an id that the store does not know."""
    return Problem(
        f"MLFLOW_EXPERIMENT_ID={experiment_id}: the tracking store has no such experiment",
        "Give the id of one that `mlflow experiments search` lists, or use the default: unset MLFLOW_EXPERIMENT_ID",
        "unset MLFLOW_EXPERIMENT_ID",
    )


def deleted(experiment_id: str, name: str) -> Problem:
    """Return the problem of an experiment that was deleted: MLflow refuses its runs, and `mlflow gc` its files."""
    command = f"mlflow experiments restore -x {experiment_id}"
    return Problem(
        f"experiment {experiment_id} ({name}) was deleted, with its runs: nothing can be recorded in it",
        f"Restore it before `mlflow gc` deletes its models: {command}",
        command,
    )


def local_folder(location: str) -> Path | None:
    """Return the folder of artifacts that are stored on this machine; None for other places."""
    if location.startswith("file:"):
        return Path(url2pathname(urlsplit(location).path))
    return None if _SCHEME.match(location) else Path(location)


def unwritable(folder: Path) -> Problem | None:
    """Return the problem of a folder in which no artifact can be stored, and which need not exist; else None."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    try:
        with TemporaryFile(dir=nearest) as file:
            file.write(b"sbert-prune")
            file.flush()
    except OSError as error:
        reason = f"{nearest} cannot be written ({error.strerror})"
        return not_stored(str(folder), reason, "Make it a folder with free space that this user may write")
    return None


def not_stored(location: str, reason: str, advice: str) -> Problem:
    """Return the problem of a place in which no artifact can be stored."""
    elsewhere = "mlflow experiments create -n NAME --artifact-location FOLDER && export MLFLOW_EXPERIMENT_NAME=NAME"
    return Problem(
        f"no model or other artifact can be stored in {location}, where the experiment has them: {reason}",
        f"{advice}; or use an experiment that has them elsewhere: {elsewhere}",
        elsewhere,
    )


def original_folder(location: str) -> Path | None:
    """Return the folder of the SQLite store that put an experiment's artifacts there; None for other places."""
    artifacts = local_folder(location)
    return artifacts.parents[1] if artifacts is not None and len(artifacts.parents) > 1 else None


def is_misplaced(path: Path, location: str, *, has_runs: Callable[[], bool] = lambda: True) -> bool:
    """Return whether a SQLite store was moved or copied: it names artifacts by paths in the old folder.

    Args:
        path: The SQLite file.
        location: Where the experiment has its artifacts.
        has_runs: Returns whether the experiment has runs.
    """
    artifacts, old_folder = local_folder(location), original_folder(location)
    if artifacts is None or old_folder is None or not artifacts.is_absolute():
        return False
    if artifacts.is_relative_to(path.parent.resolve()):
        return False
    moved_along = (path.parent / artifacts.relative_to(old_folder)).exists()
    original = old_folder / path.name
    if moved_along and original.is_file():
        return not original.samefile(path)
    return not artifacts.exists() and (moved_along or (not old_folder.exists() and has_runs()))


def misplaced(path: Path, location: str, *, has_runs: Callable[[], bool]) -> Problem | None:
    """Return the problem of a SQLite store that was moved or copied; None for another. Arguments as above."""
    if not is_misplaced(path, location, has_runs=has_runs):
        return None
    old_folder, adopt = original_folder(location), command_line("verify", adopt="true")
    assert old_folder is not None  # or it would not be misplaced
    records = f"it records its artifacts as {local_folder(location)}, which"
    if (old_folder / path.name).is_file():
        found = f"{path} is a copy: {records} belongs to the original store"
        return Problem(found, f"Work in {old_folder}, or make the copy a store of its own: {adopt}.", adopt)
    advice = f"Adopt it where it is now: {adopt}; or move it back to {old_folder}."
    return Problem(f"{path} was moved: {records} does not exist", advice, adopt)
