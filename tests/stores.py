"""What is made once for a test run, and copied by every test that needs it: tracking stores, a small base.

The workers of a run share one folder. `.ci/run` names it in SBERT_PRUNE_TEST_CACHE, so that its runs of pytest share it as well.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from filelock import FileLock
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from pytest import TempPathFactory  # noqa: PT013 - the type alone

STORE = "mlflow.db"


def made_once(factory: TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills, once for all workers. What it holds is copied, never changed."""
    folder = _shared_folder(factory) / name
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def _shared_folder(factory: TempPathFactory) -> Path:
    given = os.environ.get("SBERT_PRUNE_TEST_CACHE")
    own = factory.getbasetemp()
    folder = Path(given) if given else (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-once"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def migrate(folder: Path) -> None:
    """Make a store with MLflow's tables and nothing in them: migrating a fresh one takes seconds.

    Without an experiment, whoever opens a copy first makes one whose artifacts lie beside the copy.
    """
    path = folder / STORE
    SqlAlchemyStore(f"sqlite:///{path}", str(folder / "mlruns"))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM experiments")
    shutil.rmtree(folder / "mlruns", ignore_errors=True)


_LOCATIONS = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}
"""The columns in which MLflow names the places of artifacts, by table."""


def copy_store(source: Path, target: Path, *, made_in: str | None = None) -> None:
    """Copy the folder of a SQLite store, and let it name its artifacts at the new place; what its records say stays.

    made_in: where it was when it was made, if not in source.
    """
    shutil.copytree(source, target, dirs_exist_ok=True)
    before, now = made_in or str(source), str(target)
    with closing(sqlite3.connect(target / STORE)) as database, database:
        for table, columns in _LOCATIONS.items():
            for column in columns:
                database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (before, now))
