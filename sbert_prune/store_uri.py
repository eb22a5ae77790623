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
    if must_exist and uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).is_file():
        raise TrackingError(
            f"There is no tracking store {uri} yet, so nothing is registered in it. "
            "Run the command in the folder that holds mlflow.db, or set MLFLOW_TRACKING_URI."
        )


def _check_server(parts: SplitResult) -> None:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_PATIENCE_S).close()
    except TimeoutError:
        return
    except OSError as error:
        raise TrackingError(
            f"No tracking server answers at {without_password(urlunsplit(parts))} ({error}). Start it, correct MLFLOW_TRACKING_URI, "
            "or unset it to use sqlite:///mlflow.db in this folder."
        ) from error
