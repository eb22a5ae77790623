"""MLflow's stores, without what they do again for each store: SQLite waits for no disk, and migrations are listed once."""

import sqlite3
from contextlib import suppress
from functools import cache

from mlflow.store.db import utils
from sqlalchemy import Engine, event


def wait_for_no_disk() -> None:
    """Let this process's stores not survive a power failure, which no test causes; a killed process loses nothing by it."""
    if not event.contains(Engine, "connect", _hurry):
        event.listen(Engine, "connect", _hurry)
        utils._get_latest_schema_revision = cache(utils._get_latest_schema_revision)  # it reads a hundred files each time


def _hurry(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.Error):  # who opens what is no database is told so by whom it asks
            connection.execute("PRAGMA synchronous = OFF")
