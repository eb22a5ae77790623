"""The database of a study, checked without importing Optuna, so that a mistake is answered within a second."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sbert_prune.errors import SearchError
from sbert_prune.tracking.secrets import masked_uri, remember
from sbert_prune.tracking.store_uri import open_database, package_of, reason_of, tracking_uri

if TYPE_CHECKING:
    from sqlalchemy import URL


def check_storage(url: str) -> None:
    """Check that a database answers and is not MLflow's own; nothing is created in it.

    Args:
        url: As SQLAlchemy reads it, such as postgresql://USER@HOST/NAME.

    Raises:
        SearchError: Within a second, or five for a database that hangs.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    remember(url)
    try:
        parts = make_url(url)
        if _location(parts) == _location(make_url(tracking_uri())):
            raise SearchError(
                f"storage={masked_uri(url)} is MLflow's own database, and Optuna's tables do not go with "
                "MLflow's. Give another one, or leave storage out."
            )
        if parts.get_backend_name() == "sqlite":
            _check_file(parts.database)  # connecting would create the file
        else:
            open_database(url).connect().close()
    except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
        raise unusable(url, error) from error


def unusable(storage: str | None, error: Exception) -> SearchError:
    """Return the error for a storage that cannot be used; None is the journal beside the tracking store."""
    if isinstance(error, ModuleNotFoundError):
        reason = f"its database driver is not installed ({error.name}). Run: pip install {package_of(error.name)}"
    else:
        reason = reason_of(error)
    return SearchError(f"storage={masked_uri(storage or 'journal')} cannot be used: {reason}")


def _location(parts: URL) -> tuple[object, ...]:
    """Return what identifies a database, without user and driver."""
    if parts.get_backend_name() == "sqlite":
        return ("sqlite", Path(parts.database or "").resolve())
    return (parts.get_backend_name(), parts.host, parts.port, parts.database)


def _check_file(name: str | None) -> None:
    """Check that a SQLite file can be written, or created. Raises OSError or ValueError."""
    if not name or name == ":memory:":
        raise ValueError("a database in memory ends with the command. Give a file: sqlite:///FOLDER/study.db")
    path = Path(name)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written; give a file in a folder that exists and is yours")
