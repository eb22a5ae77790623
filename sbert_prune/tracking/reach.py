"""Whether a tracking server and its artifacts endpoint answer, checked before any work, within twenty seconds."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking._tracking_service.utils import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from requests.exceptions import ConnectionError as NoConnectionError
from requests.exceptions import RequestException, SSLError, Timeout
from urllib3.exceptions import ReadTimeoutError

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.delivery import first_line, forbidden
from sbert_prune.tracking.experiment import Problem, local_folder, not_stored, unwritable
from sbert_prune.tracking.secrets import masked_uri, without_password
from sbert_prune.tracking.store_uri import TRUST

if TYPE_CHECKING:
    import requests
    from mlflow import MlflowClient

_TIMEOUT_S = 15  # of one request, where the user has not set MLflow's own; a slow server needs a second or two
_TRIES, _PAUSE_S = 3, 1.0  # for an answer that may differ a second later; one that does not come is awaited once
_LAST_TRY_S = 4.0  # no try begins later: a gateway may take its time for each 504
_ARTIFACTS = "/mlflow-artifacts/artifacts"
_PROBE = ".sbert-prune-probe"
_STORE_TIMEOUT_S = 20
_AZURE, _S3 = "azure-storage-blob azure-identity", "boto3"
_CLIENTS = {
    **dict.fromkeys(("s3", "r2", "b2"), _S3),
    "gs": "google-cloud-storage",
    "wasbs": _AZURE,
    "abfss": "azure-storage-file-datalake azure-identity",
    "sftp": "pysftp",
    "hdfs": "pyarrow",
    "viewfs": "pyarrow",
}
"""The packages that store artifacts, by the scheme of the place; MLflow installs none of them."""

_SLOW = "It hangs or is overloaded: restart it. If it is only slow, set MLFLOW_HTTP_REQUEST_TIMEOUT to more seconds"


def check_answers(uri: str) -> None:
    """Refuse a tracking server that does not answer; MLflow's client would retry for minutes. Raises TrackingError."""
    query = {"experiment_name": "Default"}
    problem = _ask(uri, "/api/2.0/mlflow/experiments/get-by-name", query=query).problem
    if problem is not None:
        raise TrackingError(f"The tracking store {masked_uri(uri)} does not answer: {problem}.")


def check_artifacts(client: MlflowClient, uri: str, experiment_id: str, *, writes: bool = False) -> None:
    """Refuse a place for artifacts that does not answer, or that stores none where the command has to write.

    Raises TrackingError.
    """
    location = str(client.get_experiment(experiment_id).artifact_location)
    if writes and (problem := artifacts_problem(location, uri)) is not None:
        raise TrackingError(str(problem))
    if not writes and (repository := _served(location, uri)) is not None:
        host, _, folder = repository.partition(_ARTIFACTS)
        answer = _ask(host, _ARTIFACTS, query={"path": f"{folder.strip('/')}/.sbert-prune"})
        if answer.problem is not None:
            raise TrackingError(str(_no_endpoint(host, answer.problem)))


def artifacts_problem(location: str, uri: str) -> Problem | None:
    """Store a small file among an experiment's artifacts, as MLflow would, and delete it; return what fails.

    Args:
        location: Where the experiment has its artifacts.
        uri: The tracking URI.
    """
    if (folder := local_folder(location)) is not None:
        return unwritable(folder)
    if (repository := _served(location, uri)) is None:
        return _try_client(location, uri)
    host, _, path = f"{repository}/{_PROBE}".partition(_ARTIFACTS)
    answer = _ask(host, f"{_ARTIFACTS}{path}", method="PUT", data=b"sbert-prune")
    if answer.problem is not None:
        return _no_endpoint(host, answer.problem)
    if answer.status == 403:
        found, _, advice = forbidden("mlflow-artifacts/artifacts").partition(". ")
        return Problem(found, advice, "export MLFLOW_EXPERIMENT_NAME=NAME")
    if answer.status >= 400:
        reason = f"{masked_uri(host)} refuses it with status {answer.status}"
        return not_stored(location, reason, "Ask the server's administrator for the reason")
    with suppress(MlflowException):  # who may not delete it leaves a file of a few bytes, always the same one
        http_request(get_default_host_creds(host), f"{_ARTIFACTS}{path}", "DELETE", max_retries=0, timeout=_TIMEOUT_S)
    return None


def _served(location: str, uri: str) -> str | None:
    """Return the address of artifacts that a tracking server stores; None for those in other places."""
    if not (uri.startswith("http") and location.startswith(("mlflow-artifacts:", "http"))):
        return None
    address = str(get_artifact_repository(location, tracking_uri=uri).artifact_uri)
    return address if _ARTIFACTS in address else None


def _no_endpoint(host: str, problem: str) -> Problem:
    reason, _, advice = problem.partition(". ")
    shown = masked_uri(host)
    found = f"{shown} answers, but its endpoint for artifacts, which stores the models, does not: {reason}"
    return Problem(found, f"{advice}.", f"curl -sSI {shown}")


def _try_client(location: str, uri: str) -> Problem | None:
    """Store and delete a file with the client of an object store, which may wait long for an answer."""
    faults: list[Exception] = []

    def store() -> None:
        try:
            repository = get_artifact_repository(location, tracking_uri=uri)
            with TemporaryDirectory() as folder:
                file = Path(folder) / _PROBE
                file.write_bytes(b"sbert-prune")
                repository.log_artifact(str(file))
            with suppress(Exception):  # who may not delete it leaves a file of a few bytes, always the same one
                repository.delete_artifacts(_PROBE)
        except Exception as error:  # noqa: BLE001 - every object store's client has errors of its own
            faults.append(error)

    thread = threading.Thread(target=store, daemon=True)
    thread.start()
    thread.join(_STORE_TIMEOUT_S)
    if not faults and not thread.is_alive():
        return None
    scheme, advice = urlsplit(location).scheme, "See to its address and to this user's access"
    reason = (
        shorten(first_line(faults[0]), 200).rstrip(".") if faults else f"it does not answer within {_STORE_TIMEOUT_S} s"
    )
    if faults and isinstance(faults[0], ImportError) and scheme in _CLIENTS:
        advice = f"Install its client: pip install {_CLIENTS[scheme]}"
    return not_stored(masked_uri(location), reason, advice)


def is_unanswered(error: BaseException | None) -> bool:
    """Return whether an error of MLflow's client means that the server failed, not that the request was wrong."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(error, RequestException) and (response is None or response.status_code >= 500):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Answer(NamedTuple):
    """What is wrong with the answer to a request, and what to do; None if it is one of MLflow's; and its status."""

    problem: str | None = None
    status: int = 0


def _ask(
    host: str, endpoint: str, *, method: str = "GET", query: dict[str, str] | None = None, data: bytes | None = None
) -> _Answer:
    answer = _Answer()
    timeout = None if "MLFLOW_HTTP_REQUEST_TIMEOUT" in os.environ else _TIMEOUT_S
    began = time.monotonic()
    for attempt in range(_TRIES):
        if attempt and time.monotonic() - began > _LAST_TRY_S:
            break
        time.sleep(_PAUSE_S if attempt else 0)
        try:
            response = http_request(
                get_default_host_creds(host),
                endpoint,
                method,
                params=query,
                data=data,
                timeout=timeout,
                max_retries=0,
                raise_on_status=False,
            )
        except MlflowException as error:
            problem, is_final = _failure(error)
            answer = _Answer(problem)
            if is_final:
                break
        else:
            answer = _Answer(_wrong_answer(response), response.status_code)
            if answer.problem is None or answer.status < 500:
                break
    return answer


def _failure(error: MlflowException) -> tuple[str, bool]:
    """Return why there is no answer, and whether another try is useless."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, SSLError):
        return f"TLS fails ({without_password(str(cause)).rpartition(': ')[2][:160]}). {TRUST}", True
    reason = getattr(cause.args[0], "reason", None) if cause is not None and cause.args else None
    if isinstance(cause, Timeout) or isinstance(reason, ReadTimeoutError):
        return f"it accepts connections, but answers nothing in time. {_SLOW}", True
    if isinstance(cause, NoConnectionError):
        advice = "Start it, or write https:// in MLFLOW_TRACKING_URI if it uses TLS"
        return f"the connection fails or is closed without an answer. {advice}", False
    return first_line(cause if isinstance(cause, OSError) else error).rstrip("."), True


def _wrong_answer(response: requests.Response) -> str | None:
    status, lines = response.status_code, without_password(response.text).strip().splitlines()
    is_json = "json" in response.headers.get("Content-Type", "")
    if status in {401, 403} or (status < 500 and (is_json or status < 400)):
        return None  # that access is refused is reported by the request that needs it
    said = f" ({lines[0][:120]})" if lines and not lines[0].startswith("<") else ""
    if status >= 500:
        advice = "See the server's log, or ask its administrator"
    else:
        advice = "What answers there is not MLflow: correct the address, or the proxy in front of the server"
    return f"it answers with status {status}{said}. {advice}"
