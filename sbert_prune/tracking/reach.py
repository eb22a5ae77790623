"""Whether a tracking server and its artifacts endpoint answer, checked before any work, within twenty seconds."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.tracking._tracking_service.utils import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from requests.exceptions import ConnectionError as NoConnectionError
from requests.exceptions import RequestException, SSLError, Timeout
from urllib3.exceptions import ReadTimeoutError

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.delivery import first_line
from sbert_prune.tracking.secrets import masked_uri, without_password
from sbert_prune.tracking.store_uri import TRUST

if TYPE_CHECKING:
    import requests
    from mlflow import MlflowClient

_TIMEOUT_S = 15  # of one request, where the user has not set MLflow's own; a slow server needs a second or two
_TRIES, _PAUSE_S = 3, 1.0  # for an answer that may differ a second later; one that does not come is awaited once
_LAST_TRY_S = 4.0  # no try begins later: a gateway may take its time for each 504
_ARTIFACTS = "/mlflow-artifacts/artifacts"
_SLOW = "It hangs or is overloaded: restart it. If it is only slow, set MLFLOW_HTTP_REQUEST_TIMEOUT to more seconds"


def check_answers(uri: str) -> None:
    """Refuse a tracking server that does not answer; MLflow's client would retry for minutes. Raises TrackingError."""
    query = {"experiment_name": "Default"}
    problem = _ask(uri, "/api/2.0/mlflow/experiments/get-by-name", query)
    if problem is not None:
        raise TrackingError(f"The tracking store {masked_uri(uri)} does not answer: {problem}.")


def check_artifacts(client: MlflowClient, uri: str, experiment_id: str) -> None:
    """Refuse a tracking server that stores artifacts itself and whose endpoint for them does not answer.

    Raises TrackingError.
    """
    location = str(client.get_experiment(experiment_id).artifact_location)
    repository = get_artifact_repository(location, tracking_uri=uri)
    if not isinstance(repository, HttpArtifactRepository) or _ARTIFACTS not in repository.artifact_uri:
        return
    host, _, folder = str(repository.artifact_uri).partition(_ARTIFACTS)
    problem = _ask(host, _ARTIFACTS, {"path": f"{folder.strip('/')}/.sbert-prune"})
    if problem is not None:
        raise TrackingError(
            f"{masked_uri(host)} answers, but its endpoint for artifacts, which stores the models, does not: {problem}."
        )


def is_unanswered(error: BaseException | None) -> bool:
    """Return whether an error of MLflow's client means that the server failed, not that the request was wrong."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(error, RequestException) and (response is None or response.status_code >= 500):
            return True
        error = error.__cause__ or error.__context__
    return False


def _ask(host: str, endpoint: str, query: dict[str, str]) -> str | None:
    """Return what is wrong with the answer to a request, and what to do; None if it is an answer of MLflow's."""
    problem: str | None = None
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
                "GET",
                params=query,
                timeout=timeout,
                max_retries=0,
                raise_on_status=False,
            )
        except MlflowException as error:
            problem, is_final = _failure(error)
            if is_final:
                break
        else:
            problem = _wrong_answer(response)
            if problem is None or response.status_code < 500:
                break
    return problem


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
