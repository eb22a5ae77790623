"""MLflow's stores made faster: SQLite does not wait for the disk, and the migrations are listed once."""

import sqlite3
from contextlib import suppress
from functools import cache

from mlflow.store.db import utils
from sqlalchemy import Engine, event


def wait_for_no_disk() -> None:
    """Let SQLite skip waiting for the disk: only a power failure could lose data, not a killed process."""
    if not event.contains(Engine, "connect", _hurry):
        event.listen(Engine, "connect", _hurry)
        utils._get_latest_schema_revision = cache(
            utils._get_latest_schema_revision
        )  # it reads a hundred files each time


def _hurry(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.Error):  # who opens what is no database is told so by whom it asks
            connection.execute("PRAGMA synchronous = OFF")
