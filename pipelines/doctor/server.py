"""A tracking server: whether it answers, as what, and to whom."""

from __future__ import annotations

import os
from configparser import ConfigParser
from configparser import Error as ConfigError
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipelines.doctor.findings import Finding
from sbert_prune.tracking.store_uri import without_password

if TYPE_CHECKING:
    import requests

_PATIENCE_S = 2.0
_PASSWORD_S = 8.0  # checking a password is slow on purpose, and slower on a machine at work
_ASK = "api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
"""A question that every user of a store may ask; what it answers shows whether it works."""


def check_server(uri: str) -> Finding:
    """The row for an http(s) address; nothing in it shows a password."""
    import requests

    shown = without_password(uri).rstrip("/")
    try:
        with _session() as session:
            health = session.get(f"{uri.rstrip('/')}/health", timeout=_PATIENCE_S)
            if health.status_code != 200 or health.text.strip() != "OK":
                advice = "Something else than MLflow answers there: correct the address."
                return _fail(f"{shown}/health answers {health.status_code}", advice, "export MLFLOW_TRACKING_URI=http://HOST:PORT")
            answer = session.get(f"{uri.rstrip('/')}/{_ASK}", timeout=_PASSWORD_S)
            if answer.status_code in {401, 403}:  # it would not tell its version either
                return _refused(shown, answer.status_code, session.auth)
            running = session.get(f"{uri.rstrip('/')}/version", timeout=_PASSWORD_S).text.strip()
    except requests.exceptions.SSLError as error:
        advice = f"Its certificate is not trusted here ({_last(error)}): name the file of the authority that signed it."
        return _fail(shown, advice, "export MLFLOW_TRACKING_SERVER_CERT_PATH=FILE.pem")
    except requests.exceptions.Timeout:
        return _fail(f"{shown} does not answer in time", "It hangs, or is far too busy: start it anew.", _start(uri))
    except requests.exceptions.RequestException as error:
        return _fail(f"{shown}: {_last(error)}", "Nobody listens there: start the server, or correct MLFLOW_TRACKING_URI.", _start(uri))
    return _judge(shown, running, answer)


def _judge(shown: str, running: str, answer: requests.Response) -> Finding:
    here, told = version("mlflow"), f"{shown}: MLflow {running[:20]}"
    if answer.status_code >= 500:
        advice = f"It answers with status {answer.status_code}, so its database does not: on its machine, bring that up to date."
        return _fail(told, advice, "mlflow db upgrade BACKEND_STORE_URI")
    if running.partition(".")[0] != here.partition(".")[0]:
        advice = f"Models are logged as MLflow {here} does it, which this server does not know: on its machine, bring it up to date."
        return _fail(told, advice, f'pip install "mlflow=={here}"')
    return Finding("store", "ok", f"{told}{f' (here: {here})' if running != here else ''}, answers")


def _refused(shown: str, status: int, auth: object) -> Finding:
    user = auth[0] if isinstance(auth, tuple) else None
    if status == 401:
        advice = f"It does not know {user} by this password." if user else "It wants to know who asks: say who you are."
        return _fail(f"{shown}: status 401", advice, "export MLFLOW_TRACKING_USERNAME=NAME MLFLOW_TRACKING_PASSWORD=PASSWORD")
    advice = f"Its administrator has to let {user or 'you'} read the experiment Default, or you take another one."
    return _fail(f"{shown}: status 403", advice, "export MLFLOW_EXPERIMENT_NAME=NAME")


def _session() -> requests.Session:
    """As MLflow's client asks: who one is by variables or its file, trust by variables."""
    import requests

    session = requests.Session()
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") or _stored(name) for name in ("USERNAME", "PASSWORD"))
    if user and password:
        session.auth = (user, password)
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        session.headers["Authorization"] = f"Bearer {token}"
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        session.verify = False
    elif path := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        session.verify = path
    return session


def _stored(name: str) -> str | None:
    stored = ConfigParser(interpolation=None)
    try:
        stored.read(Path.home() / ".mlflow" / "credentials", encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError, ConfigError):
        return None
    return stored.get("mlflow", f"mlflow_tracking_{name.lower()}", fallback=None)


def _fail(found: str, advice: str, command: str) -> Finding:
    return Finding("store", "fail", found, advice, command)


def _start(uri: str) -> str:
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"mlflow server --backend-store-uri sqlite:///mlflow.db --host {parts.hostname} --port {port}"


def _last(error: BaseException) -> str:
    """What lies at the bottom of an error that other errors are wrapped around."""
    reason: object = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return without_password(str(reason).rpartition(": ")[2] or type(error).__name__)[:160]
