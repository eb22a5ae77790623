"""Tracking stores and a small base that are made once for a test run, and copied by every test that needs them.

The workers of a run share one folder. `.ci/run` sets SBERT_PRUNE_TEST_CACHE, so that its runs of pytest share one too.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from pytest import TempPathFactory  # noqa: PT013 - the type alone

from sbert_prune.registry.version import pack_tags, unpack_tags
from sbert_prune.tracking.adoption import rewrite

STORE = "mlflow.db"


def made_once(factory: TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` fills, once for all workers. Copy its contents, never change them."""
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
    cache = os.environ.get("SBERT_PRUNE_TEST_CACHE")
    temporary = factory.getbasetemp()
    shared = temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary
    folder = Path(cache) if cache else shared / "made-once"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def migrate(folder: Path) -> None:
    """Make a store with MLflow's tables and no rows: migrating a fresh one takes seconds.

    It has no experiment, so that the first client of a copy makes one, with its artifacts beside the copy.
    """
    path = folder / STORE
    SqlAlchemyStore(f"sqlite:///{path}", str(folder / "mlruns"))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM experiments")
    shutil.rmtree(folder / "mlruns", ignore_errors=True)


def copy_store(source: Path, target: Path) -> None:
    """Copy the folder of a SQLite store, and change the locations of its artifacts to the copy."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    with closing(sqlite3.connect(target / STORE)) as database, database:
        rewrite(database, str(source), str(target))
    forget_locations()


def forget_locations() -> None:
    """Let MLflow ask again where a run or model keeps its artifacts: it knows them by ids, which a copy shares."""
    _artifact_repos_cache.clear()


def tags_of(client: MlflowClient, name: str, number: str) -> dict[str, str]:
    """Return the tags of a version, with those in its record."""
    return unpack_tags(client.get_model_version(name, number).tags)


def change_tags(client: MlflowClient, name: str, number: str, changes: dict[str, str | None]) -> None:
    """Change tags of a version, wherever they are stored; None deletes one."""
    stored = client.get_model_version(name, number).tags
    values = {key: value for key, value in {**unpack_tags(stored), **changes}.items() if value is not None}
    packed = pack_tags(values)
    for key in stored.keys() - packed.keys():
        client.delete_model_version_tag(name, number, key)
    for key, value in packed.items():
        client.set_model_version_tag(name, number, key, value)
