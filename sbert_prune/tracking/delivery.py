"""Delivery of entries to MLflow's store, and the classification of its errors."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException, RestException
from mlflow.utils.credentials import read_mlflow_creds
from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError

from sbert_prune.tracking.experiment import chosen_experiment
from sbert_prune.tracking.secrets import without_password
from sbert_prune.tracking.spool import Entry, Fault, Kind

ERROR, DEAD = "sbert_prune.error", "ended without a word"
"""The tag with the error of a run, and what it says where the process of the run ended without closing it."""

FAULTS = (MlflowException, RequestException, SQLAlchemyError, ImportError, OSError, json.JSONDecodeError)
"""What MLflow's client raises if a store does not answer as it should."""

_REFUSED = re.compile(
    r"(?:endpoint \S*?/mlflow/(?P<endpoint>\S+) failed with error code )?\b(?P<status>401|403) (?:!= \d|Client Error)"
)
_AUTOFLUSH = re.compile(r"^\(raised as a result of Query-invoked autoflush;[^\n]*\n")
"""What SQLAlchemy puts in front of the database's own message."""

_STATUS = {"UNAUTHENTICATED": "401", "PERMISSION_DENIED": "403"}


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without passwords, or what to do if a server refused access."""
    message = _AUTOFLUSH.sub("", str(error)).strip() or type(error).__name__
    match _refusal(error, message.splitlines()[0]):
        case "401", _:
            return _unauthenticated()
        case "403", endpoint:
            return forbidden(endpoint)
    return without_password(message).splitlines()[0]


def _refusal(error: BaseException, line: str) -> tuple[str, str] | None:
    """Return the status, 401 or 403, and the endpoint; None for other errors."""
    if match := _REFUSED.search(line):
        return match["status"], match["endpoint"] or ""
    status = _STATUS.get(getattr(error, "error_code", ""))
    return (status, "") if status else None


def _unauthenticated() -> str:
    user = read_mlflow_creds().username
    refusal = f"it does not accept {user} with this password" if user else "it requires a user name and a password"
    return (
        f"{refusal} (status 401). "
        "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user of that server and the password."
    )


def forbidden(endpoint: str) -> str:
    """Return what to do where a server refuses this user an endpoint with status 403."""
    user = read_mlflow_creds().username or "this user"
    reads = re.search(r"/(get[a-z-]*|search|list)$", endpoint)
    permission = (
        "READ permission"
        if reads
        else "EDIT permission (MANAGE to promote)"
        if endpoint.endswith("/alias")
        else "EDIT permission"
    )
    if endpoint.startswith(("registered-models", "model-versions")):
        place = "that registered model"
    elif reads and not endpoint.startswith("experiments"):
        place = "its experiment"
    else:
        number, name = chosen_experiment()
        place = f"experiment {number or name}"
    where = f" for {endpoint}" if endpoint else ""
    return (
        f"{user} may not do that (status 403{where}). "
        f"Ask the server's administrator to give {user} {permission} on {place}."
    )


def _log_input(client: MlflowClient, entry: Entry) -> None:
    tag = InputTag("mlflow.data.context", entry.content["context"])
    client.log_inputs(entry.run_id, [DatasetInput(Dataset(**entry.content["dataset"]), [tag])])


def _log_output(client: MlflowClient, entry: Entry) -> None:
    outputs = client.get_run(entry.run_id).outputs  # a model that is logged twice would be shown twice
    if entry.content["model_id"] not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
        with request_settings({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}):  # it is delivered again, after the same check
            client.log_outputs(entry.run_id, [LoggedModelOutput(entry.content["model_id"], step=0)])


def _log_bytes(client: MlflowClient, entry: Entry) -> None:
    name = Path(entry.content["name"])
    with TemporaryDirectory() as folder:
        (Path(folder) / name.name).write_bytes(b64decode(entry.content["base64"]))
        client.log_artifact(
            entry.run_id, f"{folder}/{name.name}", None if name.parent == Path() else name.parent.as_posix()
        )


_AT_ONCE_MS = 1000.0


def _end(client: MlflowClient, entry: Entry) -> None:
    client.set_terminated(entry.run_id, entry.content["status"], entry.time_ms)
    if time.time() * 1000 - entry.time_ms > _AT_ONCE_MS:  # another command may have taken the run for a dead one
        error = client.get_run(entry.run_id).data.tags.get(ERROR, "")
        if DEAD in error:
            client.delete_tag(entry.run_id, ERROR)


_SENDERS: dict[Kind, Callable[[MlflowClient, Entry], None]] = {
    "metrics": lambda to, entry: to.log_batch(
        entry.run_id, [Metric(*of, run_id=entry.run_id) for of in entry.content], synchronous=True
    ),
    "params": lambda to, entry: to.log_batch(
        entry.run_id, params=[Param(*of) for of in entry.content.items()], synchronous=True
    ),
    "tags": lambda to, entry: to.log_batch(
        entry.run_id, tags=[RunTag(*of) for of in entry.content.items()], synchronous=True
    ),
    "inputs": _log_input,
    "outputs": _log_output,
    "text": lambda to, entry: to.log_text(entry.run_id, entry.content["text"], entry.content["name"]),
    "bytes": _log_bytes,
    "terminated": _end,
}

_LASTING = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}
"""Errors that a retry does not resolve: a run that was deleted, a value that MLflow does not accept."""

_NO_ANSWER = (RequestException, ConnectionError, TimeoutError)

_SHORT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
"""Settings for requests that can be repeated later; MLflow's defaults would block training for 4 to 20 minutes.

Requests that cannot be repeated later, such as for a run, use the defaults.
"""

_SETTINGS_LOCK = threading.RLock()


def send(client: MlflowClient, entry: Entry) -> Fault | None:
    """Deliver an entry to the store; return None if it was accepted."""
    try:
        with short_requests():
            _SENDERS[entry.kind](client, entry)
    except FAULTS as error:
        line = first_line(error)
        lasting = getattr(error, "error_code", None) in _LASTING
        answered = isinstance(error, RestException)
        answered = answered or _refusal(error, str(error)) is not None  # permissions are granted by run
        answered = answered or (isinstance(error, OSError) and not isinstance(error, _NO_ANSWER))  # a folder or disk
        return Fault(shorten(line, 240, placeholder=" ..."), lasting, answered)
    return None


@contextmanager
def short_requests() -> Iterator[None]:
    """Apply the settings for short requests, except those that the user has set."""
    with request_settings(_SHORT, override=False):
        yield


@contextmanager
def request_settings(settings: Mapping[str, str], *, override: bool = True) -> Iterator[None]:
    """Apply settings of MLflow's client to the requests inside the block; other threads wait with theirs.

    Args:
        settings: By the names of environment variables.
        override: Whether they apply also where the variable is set.
    """
    with _SETTINGS_LOCK:
        before = {name: os.environ.get(name) for name in settings if override or name not in os.environ}
        os.environ.update({name: settings[name] for name in before})
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
