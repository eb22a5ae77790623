"""What makes an experiment unusable: its store was moved or copied, or it was deleted. Imports no MLflow."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

if TYPE_CHECKING:
    from collections.abc import Callable


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


def chosen_experiment() -> tuple[str | None, str]:
    """Return the id of the experiment that the environment chooses, or None, and the name that counts then."""
    return os.environ.get("MLFLOW_EXPERIMENT_ID") or None, os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")


def deleted(experiment_id: str, name: str) -> Problem:
    """Return the problem of an experiment that was deleted: MLflow refuses its runs, and `mlflow gc` its files."""
    command = f"mlflow experiments restore -x {experiment_id}"
    return Problem(
        f"experiment {experiment_id} ({name}) was deleted, with its runs: nothing can be recorded in it",
        f"Restore it before `mlflow gc` deletes its models: {command}",
        command,
    )


def misplaced(path: Path, location: str, *, has_runs: Callable[[], bool]) -> Problem | None:
    """Return the problem of a SQLite store that was moved or copied: it names artifacts by paths in the old folder.

    Args:
        path: The SQLite file.
        location: Where the experiment has its artifacts.
        has_runs: Returns whether the experiment has runs.
    """
    artifacts = Path(url2pathname(urlsplit(location).path) if location.startswith("file:") else location)
    if not artifacts.is_absolute() or artifacts.is_relative_to(path.parent.resolve()):
        return None
    old_folder = artifacts.parents[1]
    moved_along = (path.parent / artifacts.relative_to(old_folder)).exists()
    is_copy = moved_along and (old_folder / path.name).is_file() and not (old_folder / path.name).samefile(path)
    records = f"it records its artifacts as {artifacts}, which"
    if is_copy:
        found = f"{path} is a copy: {records} belongs to the original store"
        uri = f"sqlite:///{shlex.quote(str(old_folder / path.name))}"
        return Problem(found, f"Work in {old_folder}.", f"export MLFLOW_TRACKING_URI={uri}")
    if not artifacts.exists() and (moved_along or (not old_folder.exists() and has_runs())):
        link = f"ln -s {shlex.quote(str(path.parent))} {shlex.quote(str(old_folder))}"
        advice = f"Move it back to {old_folder}, or link there to it: {link}."
        return Problem(f"{path} was moved: {records} does not exist", advice, link)
    return None
