"""The URI of the tracking store, checked without importing MLflow."""

from __future__ import annotations

import os
import re
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.secrets import masked_uri, without_password

if TYPE_CHECKING:
    from sqlalchemy import Engine

_SQLITE = "sqlite:///"
_TIMEOUT_S = 0.7  # for the handshake; a slower server may still be reached by MLflow's own retries
_TLS_TIMEOUT_S = 5.0
_DATABASE_TIMEOUT_S = 5

TRUST = (
    "Correct the host or write http:// in MLFLOW_TRACKING_URI, or set MLFLOW_TRACKING_SERVER_CERT_PATH to the file of "
    "the authority that signed the server's certificate"
)

_ESCAPED = "In MLFLOW_TRACKING_URI, a password's special characters are escaped: %40 for @, %2F for /, %3A for :"

_PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Database drivers whose package on PyPI has another name."""


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or a SQLite file in the current folder.

    MLflow prints a server's address, so a user and password in it are moved to the variables that its client reads.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri and re.match("https?://", uri):
        with suppress(ValueError):  # an address that cannot be read, which `check_store` refuses
            _move_credentials_to_environment(urlsplit(uri))
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{Path.cwd() / 'mlflow.db'}"


def _move_credentials_to_environment(parts: SplitResult) -> None:
    userinfo, at, host = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    credentials = {"MLFLOW_TRACKING_USERNAME": unquote(user), "MLFLOW_TRACKING_PASSWORD": unquote(password)}
    if at:
        os.environ["MLFLOW_TRACKING_URI"] = urlunsplit(parts._replace(netloc=host))
        os.environ.update({name: value for name, value in credentials.items() if value})


def own_folder() -> Path:
    """Return `.sbert-prune`, the folder for unfinished work, beside the SQLite store or in the current folder."""
    path = sqlite_path(tracking_uri())
    return (path.parent if path else Path.cwd()) / ".sbert-prune"


def check_store(*, must_exist: bool = False) -> None:
    """Refuse a store that cannot answer.

    Args:
        must_exist: Refuse a SQLite file that does not exist yet.

    Raises:
        TrackingError: Within a second, or five for a database that hangs; MLflow's own client would retry for minutes.
    """
    uri = tracking_uri()
    if re.match(r"https?://", uri):
        _check_server(uri)
    elif (path := sqlite_path(uri)) is not None:
        _check_file(path, must_exist=must_exist)
    elif re.match(r"(sqlite|postgresql|mysql|mssql)\b", uri):
        _check_database(uri)
    elif not uri.startswith("databricks"):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={masked_uri(uri)} is no store that MLflow still writes to. "
            "Give sqlite:///FOLDER/mlflow.db, a server's http(s) address, or a database's URI; "
            "unset it to use mlflow.db in this folder."
        )


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a SQLite store; None for other stores."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _check_file(path: Path, *, must_exist: bool) -> None:
    if must_exist and not path.is_file():
        raise TrackingError(
            f"There is no tracking store {path} yet, so nothing is registered in it. "
            "Run the command in the folder that holds mlflow.db, or set MLFLOW_TRACKING_URI."
        )
    if odd := sorted({"?", "%"} & set(str(path))):
        raise TrackingError(
            f"The tracking store {path} has {' and '.join(odd)} in its path, which a URI cannot hold. "
            "Work in another folder."
        )
    if not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise TrackingError(
            f"The tracking store {path} cannot be written. Work in a folder of your own, or set MLFLOW_TRACKING_URI."
        )


def _check_server(uri: str) -> None:
    from urllib.request import getproxies, proxy_bypass

    shown = masked_uri(uri)
    try:
        parts = urlsplit(uri)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:  # its message contains a part of the password
        raise TrackingError(f"No tracking server answers at {shown}: its port cannot be read. {_ESCAPED}") from error
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname or ""):
        return  # what lies behind a proxy shows when the client asks, through it
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=_TIMEOUT_S) as connection:
            if parts.scheme == "https":
                _check_certificate(connection, parts.hostname or "")
    except TimeoutError:
        return
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or str(error.reason or error)
        raise TrackingError(f"The tracking server {shown} cannot be trusted, TLS fails: {reason}. {TRUST}.") from error
    except (OSError, UnicodeError) as error:
        raise TrackingError(
            f"No tracking server answers at {shown} ({error}). Start it, correct MLFLOW_TRACKING_URI, "
            "or unset it to use sqlite:///mlflow.db in this folder."
        ) from error


def _check_certificate(connection: socket.socket, host: str) -> None:
    """Begin TLS as MLflow's client would, which would repeat a failure for minutes. Raises SSLError."""
    variables = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    authorities = next((path for name in variables if (path := os.environ.get(name))), None)
    if authorities is None:
        import certifi

        authorities = certifi.where()
    if not Path(authorities).exists():
        raise TrackingError(f"MLFLOW_TRACKING_SERVER_CERT_PATH={authorities}: there is no such file. {TRUST}.")
    is_folder = Path(authorities).is_dir()
    context = ssl.create_default_context(
        cafile=None if is_folder else authorities, capath=authorities if is_folder else None
    )
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if own := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        context.load_cert_chain(own)
    connection.settimeout(_TLS_TIMEOUT_S)
    context.wrap_socket(connection, server_hostname=host).close()


def _check_database(uri: str) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    shown = masked_uri(uri)
    try:
        open_database(uri).connect().close()
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"{shown} needs a database driver that is not installed ({error.name}). "
            f"Run: pip install {package_of(error.name)}"
        ) from error
    except (SQLAlchemyError, ValueError) as error:
        raise TrackingError(
            f"The database {shown} cannot be opened: {reason_of(error)}. "
            f"Correct user, password, host and name, or make the database. {_ESCAPED}"
        ) from error


def open_database(uri: str) -> Engine:
    """Return an engine that opens a new connection each time, with a timeout.

    Raises:
        ModuleNotFoundError: The driver is not installed.
        ValueError: The address cannot be read; the message does not quote it.
    """
    import sqlalchemy

    try:
        if uri.count("@") > 1:  # SQLAlchemy would end the password at the first and look up the rest as a host
            raise ValueError
        url = sqlalchemy.make_url(uri)
    except ValueError:
        raise ValueError("its address cannot be read") from None
    timeout = {"connect_timeout": _DATABASE_TIMEOUT_S} if url.get_backend_name() in {"postgresql", "mysql"} else {}
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=timeout)


def package_of(driver: str | None) -> str:
    """Return the package on PyPI of a database driver's module."""
    return _PACKAGES.get(str(driver), str(driver))


def reason_of(error: Exception) -> str:
    """Return the first line of the database driver's message in an error of SQLAlchemy, without passwords."""
    message = without_password(str(getattr(error, "orig", None) or error)).strip() or type(error).__name__
    return message.splitlines()[0].rstrip(".")[:200]
