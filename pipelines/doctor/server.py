"""Check a tracking server: its version, its database, and this user's access."""

from __future__ import annotations

import os
from configparser import ConfigParser
from configparser import Error as ConfigError
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from pipelines.doctor.disk import artifacts_problem
from pipelines.doctor.findings import Finding
from sbert_prune.tracking.experiment import DEFAULT, Problem, chosen_experiment, deleted, unknown
from sbert_prune.tracking.secrets import masked_uri, without_password

if TYPE_CHECKING:
    import requests

_TIMEOUT_S = 2.0
_PASSWORD_TIMEOUT_S = 8.0  # checking a password is slow on purpose, and slower on a busy machine
_API = "api/2.0/mlflow/experiments"


def check_server(uri: str, experiment: str = DEFAULT) -> Finding:
    """Check the server at an http(s) address; the finding shows no password."""
    import requests

    shown = masked_uri(uri).rstrip("/")
    try:
        with _session() as session:
            health = session.get(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S)
            if health.status_code != 200 or health.text.strip() != "OK":
                advice = "The program there is not MLflow: correct the address."
                return _fail(
                    f"{shown}/health answers {health.status_code}",
                    advice,
                    "export MLFLOW_TRACKING_URI=http://HOST:PORT",
                )
            answer = session.get(f"{uri.rstrip('/')}/{_request(experiment)}", timeout=_PASSWORD_TIMEOUT_S)
            if answer.status_code == 404 and chosen_experiment("") == (None, ""):  # a command will create it
                answer = session.get(f"{uri.rstrip('/')}/{_request(DEFAULT)}", timeout=_PASSWORD_TIMEOUT_S)
            if answer.status_code in {401, 403}:  # it refuses to give its version as well
                return _denied(shown, answer.status_code, session.auth, experiment)
            running = session.get(f"{uri.rstrip('/')}/version", timeout=_PASSWORD_TIMEOUT_S).text.strip()
    except requests.exceptions.SSLError as error:
        advice = (
            f"Its certificate is not trusted here ({_root_cause(error)}): give the file of the certificate authority."
        )
        return _fail(shown, advice, "export MLFLOW_TRACKING_SERVER_CERT_PATH=FILE.pem")
    except requests.exceptions.Timeout:
        return _fail(f"{shown} does not answer in time", "It hangs or is overloaded: restart it.", _start(uri))
    except requests.exceptions.RequestException as error:
        return _fail(
            f"{shown}: {_root_cause(error)}",
            "Nothing listens there: start the server, or correct MLFLOW_TRACKING_URI.",
            _start(uri),
        )
    return _assess(shown, running, answer)


def _request(experiment: str) -> str:
    """Return a request that every user may make; its status shows whether the server and its database work."""
    experiment_id, name = chosen_experiment(experiment)
    if experiment_id is not None:
        return f"{_API}/get?{urlencode({'experiment_id': experiment_id})}"
    return f"{_API}/get-by-name?{urlencode({'experiment_name': name})}"


def _experiment_problem(answer: requests.Response) -> Problem | None:
    """Return why nothing can be recorded in the experiment; None where it can, or where a command will create it."""
    experiment_id, _ = chosen_experiment()
    if answer.status_code == 404 and experiment_id is not None:
        return unknown(experiment_id)
    try:
        experiment = answer.json().get("experiment", {})
    except (ValueError, AttributeError):
        return None
    if experiment.get("lifecycle_stage") == "deleted":
        return deleted(str(experiment.get("experiment_id")), str(experiment.get("name")))
    location = experiment.get("artifact_location")
    return artifacts_problem(location) if location else None


def _assess(shown: str, running: str, answer: requests.Response) -> Finding:
    installed, summary = version("mlflow"), f"{shown}: MLflow {running[:20]}"
    if answer.status_code >= 500:
        advice = (
            f"It answers with status {answer.status_code}, so its database does not work: upgrade it, on the server."
        )
        return _fail(summary, advice, "mlflow db upgrade BACKEND_STORE_URI")
    if running.partition(".")[0] != installed.partition(".")[0]:
        advice = f"It cannot store models in the format of MLflow {installed}: upgrade it, on the server."
        return _fail(summary, advice, f'pip install "mlflow=={installed}"')
    if (problem := _experiment_problem(answer)) is not None:
        return _fail(f"{summary}: {problem.found}", problem.advice, problem.command)
    return Finding("store", "ok", f"{summary}{f' (here: {installed})' if running != installed else ''}, answers")


def _denied(shown: str, status: int, auth: object, experiment: str) -> Finding:
    user = auth[0] if isinstance(auth, tuple) else None
    if status == 401:
        advice = (
            f"It does not accept this password of {user}."
            if user
            else "It requires a user name and a password: set them."
        )
        return _fail(
            f"{shown}: status 401", advice, "export MLFLOW_TRACKING_USERNAME=NAME MLFLOW_TRACKING_PASSWORD=PASSWORD"
        )
    experiment_id, name = chosen_experiment(experiment)
    named = f"the experiment {experiment_id or name}"
    advice = f"Ask its administrator to let {user or 'you'} read {named}, or use another experiment."
    return _fail(f"{shown}: status 403", advice, "export MLFLOW_EXPERIMENT_NAME=NAME")


def _session() -> requests.Session:
    """Return a session with the credentials and certificates that MLflow's client would use."""
    import requests

    session = requests.Session()
    user, password = (
        os.environ.get(f"MLFLOW_TRACKING_{name}") or _stored_credential(name) for name in ("USERNAME", "PASSWORD")
    )
    if user and password:
        session.auth = (user, password)
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        session.headers["Authorization"] = f"Bearer {token}"
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        session.verify = False
    elif path := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        session.verify = path
    return session


def _stored_credential(name: str) -> str | None:
    stored = ConfigParser(interpolation=None)
    try:
        stored.read(Path.home() / ".mlflow" / "credentials", encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError, ConfigError):
        return None
    return stored.get("mlflow", f"mlflow_tracking_{name.lower()}", fallback=None)


def _fail(summary: str, advice: str, command: str) -> Finding:
    return Finding("store", "fail", summary, advice, command)


def _start(uri: str) -> str:
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"mlflow server --backend-store-uri sqlite:///mlflow.db --host {parts.hostname} --port {port}"


def _root_cause(error: BaseException) -> str:
    """Return the message of the innermost error."""
    reason: object = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return (without_password(str(reason)).rpartition(": ")[2] or type(error).__name__)[:160]
