"""Requests that create or delete something in MLflow's store, exactly once, whatever a server answers.

MLflow's client repeats a request whose answer was lost or was a 5xx, although the server may have served it. Here it
does not: what the request should have created is looked up before it is repeated.
"""

from __future__ import annotations

import itertools
import random
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from mlflow.environment_variables import (
    MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR,
    MLFLOW_HTTP_REQUEST_BACKOFF_JITTER,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
)
from mlflow.exceptions import MlflowException, RestException

from sbert_prune.tracking.delivery import FAULTS, request_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

T = TypeVar("T")

_NO_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_REJECTED = re.compile(r"failed with error code 4(?!08|29)\d\d ")  # an answer that is not MLflow's own, but a proxy's
_MAX_PAUSE_S = 120.0  # as MLflow's client


@dataclass(frozen=True)
class RequestIds:
    """The ids of this command's requests that create something, which it stores as a tag of what they create.

    Attributes:
        command: The part that all ids of this command begin with.
        answered: The ids of the runs and logged models whose creation the server confirmed, and that this command uses.
    """

    command: str = field(default_factory=lambda: uuid.uuid4().hex)
    answered: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def next(self) -> str:
        """Return an id that no other request has."""
        return f"{self.command}-{next(self._numbers)}"


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is a server's, whose answers may get lost."""
    return uri.startswith(("http://", "https://"))


def create_once(
    client: MlflowClient,
    create: Callable[[], T],
    find: Callable[[], Sequence[T]],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Create something and return it; after a fault, return what exists, or try again after a pause.

    Args:
        client: MLflow's client; its settings for retries apply.
        create: Sends the request.
        find: Returns what the request has created, the oldest first; more than one if it was served twice.
        sleep: Waits for some seconds.

    Raises:
        MlflowException, RequestException: The request was rejected, or all tries failed and nothing exists.
    """
    answers_get_lost = is_server(client.tracking_uri)
    retries = MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() if answers_get_lost else 0
    attempt = 0
    while True:
        try:
            with request_settings(_NO_RETRIES):
                return create()
        except FAULTS as error:
            if not answers_get_lost or _was_rejected(error):
                raise
            if attempt < retries:
                sleep(_pause_s(attempt))
            if existing := _look_up(find):
                return existing[0]
            if attempt == retries:
                raise
        attempt += 1


def delete_once(delete: Callable[[], object]) -> None:
    """Send a request that deletes something; that it does not exist is no error, as MLflow's client asks again.

    Raises MLflow's errors.
    """
    try:
        delete()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def ask_again(client: MlflowClient, request: Callable[[], T]) -> T:
    """Send a request that may be served twice, also again if its answer was cut, which MLflow's client does not do.

    Raises MLflow's errors.
    """
    return create_once(client, request, lambda: ())


def _look_up(find: Callable[[], Sequence[T]]) -> Sequence[T]:
    """Return what exists; nothing if the store does not answer, so that the first error is reported."""
    try:
        return find()
    except FAULTS:
        return ()


def _was_rejected(error: BaseException) -> bool:
    """Return whether a server has answered that it will not serve the request."""
    return isinstance(error, RestException) or (
        isinstance(error, MlflowException) and bool(_REJECTED.search(str(error)))
    )


def _pause_s(attempt: int) -> float:
    """Return the pause before another try, as MLflow's client makes it: none before the first, then doubled."""
    backoff_s = MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get() * 2.0**attempt if attempt else 0.0
    return min(backoff_s + random.uniform(0, MLFLOW_HTTP_REQUEST_BACKOFF_JITTER.get()), _MAX_PAUSE_S)
