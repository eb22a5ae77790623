"""Where the tracking store is and whether it can be there at all, known without importing MLflow."""

import os
import re
import socket
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

from sbert_prune.errors import TrackingError

_SQLITE = "sqlite:///"
_PATIENCE_S = 0.7  # a server that takes longer for a handshake is one that MLflow's own retries may still reach


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or a SQLite file in the folder where the command runs."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{Path.cwd() / 'mlflow.db'}"


def own_folder() -> Path:
    """Where we keep what is not finished or not delivered: `.sbert-prune`, beside the SQLite store or in the folder of the command."""
    path = sqlite_path(tracking_uri())
    return (path.parent if path else Path.cwd()) / ".sbert-prune"


def without_password(text: str) -> str:
    """A URI, or a text with URIs in it, with users and passwords left out: fit for logs and errors."""
    return re.sub(r"://[^/@\s]+@", "://***@", text)


def check_store(*, must_exist: bool = False) -> None:
    """Refuse a store that cannot answer. must_exist: a SQLite file that is not there yet will not do.

    Raises TrackingError within a second; MLflow's own client would try a missing server for minutes.
    """
    uri = tracking_uri()
    parts = urlsplit(uri)
    if parts.scheme in {"http", "https"}:
        _check_server(parts)
    elif (path := sqlite_path(uri)) is not None:
        _check_file(path, must_exist=must_exist)
    elif not re.match(r"(sqlite|postgresql|mysql|mssql|databricks)", parts.scheme):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={without_password(uri)} is no store that MLflow still writes to. "
            "Give sqlite:///FOLDER/mlflow.db, a server's http(s) address, or a database's URI; unset it to use mlflow.db in this folder."
        )


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _check_file(path: Path, *, must_exist: bool) -> None:
    if must_exist and not path.is_file():
        raise TrackingError(
            f"There is no tracking store {path} yet, so nothing is registered in it. "
            "Run the command in the folder that holds mlflow.db, or set MLFLOW_TRACKING_URI."
        )
    if odd := sorted({"?", "%"} & set(str(path))):
        raise TrackingError(
            f"The tracking store {path} has {' and '.join(odd)} in its path, which a URI cannot hold. Work in another folder."
        )
    if not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise TrackingError(f"The tracking store {path} cannot be written. Work in a folder of your own, or set MLFLOW_TRACKING_URI.")


def _check_server(parts: SplitResult) -> None:
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=_PATIENCE_S).close()
    except TimeoutError:
        return
    except (OSError, ValueError) as error:
        raise TrackingError(
            f"No tracking server answers at {without_password(urlunsplit(parts))} ({error}). Start it, correct MLFLOW_TRACKING_URI, "
            "or unset it to use sqlite:///mlflow.db in this folder."
        ) from error
