"""MLflow's tracking store: opened, initialised where it is fresh, and read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path
from sqlalchemy import text

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.creation import RequestIds, create_once
from sbert_prune.tracking.delivery import FAULTS, first_line, send
from sbert_prune.tracking.heartbeat import Heartbeat, Pulse
from sbert_prune.tracking.spool import Outbox, Spool
from sbert_prune.tracking.store_uri import (
    check_store,
    open_database,
    own_folder,
    sqlite_path,
    tracking_uri,
    without_password,
)

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.entities import Run as LoggedRun

TAG = "sbert_prune."
HEARTBEAT = f"{TAG}heartbeat"
REQUEST_ID = f"{TAG}request_id"
_LOCK = 0x5BE47  # an arbitrary number, the same for all processes that share a database
_KIND = (
    "mlflow.experimentKind",
    "custom_model_development",
)  # the pages go by ?workflowType= instead: see pipelines/flows/summary.py


@dataclass(frozen=True)
class Store:
    """A tracking store that answers.

    Attributes:
        client: MLflow's client.
        uri: The tracking URI.
        experiment_id: The experiment of the runs.
        outbox: Delivers what is logged to runs, and queues it if the store fails.
        pulse: Writes the heartbeats of open runs.
        request_ids: Names the requests that create something.
    """

    client: MlflowClient
    uri: str
    experiment_id: str
    outbox: Outbox
    pulse: Pulse
    request_ids: RequestIds = field(default_factory=RequestIds)


def connect(*, notify: Callable[[str], None] = lambda _: None) -> Store:
    """Open the tracking store, initialise it where it is fresh, and find or create the experiment.

    Args:
        notify: Called with a message when the store stops answering.

    Raises:
        TrackingError: The store does not answer.
    """
    check_store()
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    with store_errors(f"The tracking store {without_password(uri)} does not answer"):
        with _exclusive(uri):
            client = MlflowClient(uri)
            experiment_id = _experiment(client)
        experiment = client.get_experiment(experiment_id)
        _check_location(client, experiment, uri)
        if _KIND[0] not in experiment.tags:
            with suppress(MlflowException):  # optional: the user may have read permission only
                client.set_experiment_tag(experiment_id, *_KIND)
    spool = Spool(own_folder() / "spool", without_password(uri))
    return Store(
        client, uri, experiment_id, Outbox(partial(send, client), spool, notify), Pulse(partial(_beat, client))
    )


def _check_location(client: MlflowClient, experiment: Experiment, uri: str) -> None:
    """Refuse a SQLite store that was moved or copied: it names its artifacts by absolute paths in the old folder."""
    path, location = sqlite_path(uri), Path(local_file_uri_to_path(str(experiment.artifact_location)))
    if path is None or not location.is_absolute() or location.is_relative_to(path.parent.resolve()):
        return
    old_folder = location.parents[1]
    moved_along = (path.parent / location.relative_to(old_folder)).exists()
    is_copy = moved_along and (old_folder / path.name).is_file() and not (old_folder / path.name).samefile(path)
    missing = not old_folder.exists() and bool(client.search_runs([experiment.experiment_id], max_results=1))
    if is_copy or (not location.exists() and (moved_along or missing)):
        if is_copy:
            problem, advice = "is a copy", f"Work in {old_folder}"
            whose = "which belongs to the original store"
        else:
            problem, whose = "was moved", "which does not exist"
            advice = f"Move it back to {old_folder}, or link there to it: ln -s {path.parent} {old_folder}"
        raise TrackingError(f"{path} {problem}: it records its artifacts as {location}, {whose}. {advice}.")


def _beat(client: MlflowClient, run_id: str, heartbeat: Heartbeat) -> None:
    with suppress(*FAULTS):  # the next heartbeat follows in a minute
        client.set_tag(run_id, HEARTBEAT, str(heartbeat))


@contextmanager
def store_errors(problem: str) -> Iterator[None]:
    """Turn errors of MLflow's client inside the block into a TrackingError that begins with the problem."""
    try:
        yield
    except FAULTS as error:
        raise TrackingError(f"{problem}: {first_line(error)}") from error


@contextmanager
def _exclusive(uri: str) -> Iterator[None]:
    """Let one process at a time initialise a fresh database, which two at once would break."""
    path = sqlite_path(uri)
    with FileLock(f"{path}.lock") if path else alone_in_database(uri):
        yield


@contextmanager
def alone_in_database(uri: str) -> Iterator[None]:
    """Hold PostgreSQL's advisory lock, which ends with the connection, however the process ends.

    Does nothing for other stores: a server is a single process already.
    """
    if not uri.startswith("postgresql"):
        yield
        return
    with open_database(uri).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        yield


def _experiment(client: MlflowClient) -> str:
    if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return experiment_id
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")

    def find() -> list[str]:
        experiment = client.get_experiment_by_name(name)
        return [] if experiment is None else [str(experiment.experiment_id)]

    if existing := find():
        return existing[0]
    try:
        return create_once(client, lambda: str(client.create_experiment(name)), find)
    except MlflowException:
        if existing := find():  # another process has just created it
            return existing[0]
        raise


def pages(fetch_page: Callable[[str | None], Any]) -> Iterator[Any]:
    """Iterate over all pages of a search of MLflow; `fetch_page` returns the page that a token stands for."""
    token = None
    while True:
        page = fetch_page(token)
        yield from page
        token = page.token
        if not token:
            return


def find_runs(store: Store, query: str) -> list[LoggedRun]:
    """Return the runs of the experiment that match a filter of MLflow, oldest first. Raises MLflow's errors."""
    return list(
        pages(
            lambda token: store.client.search_runs(
                [store.experiment_id], query, order_by=["attributes.start_time ASC"], page_token=token
            )
        )
    )


def read_artifact(store: Store, run_id: str, name: str) -> bytes | None:
    """Return an artifact of a run; None if it does not exist or cannot be fetched."""
    with suppress(*FAULTS), TemporaryDirectory() as folder:
        return Path(store.client.download_artifacts(run_id, name, folder)).read_bytes()
    return None


def is_running(store: Store, run_id: str) -> bool:
    """Return whether a run exists and is open. Raises TrackingError if the store does not answer."""
    try:
        return str(store.client.get_run(run_id).info.status) == "RUNNING"
    except FAULTS as error:
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise TrackingError(f"The run {run_id} cannot be looked up: {first_line(error)}") from error


def finished_runs(store: Store, tag: str, value: str) -> list[LoggedRun]:
    """Return the finished runs on which one of our tags has this value, newest first."""
    query = f"attributes.status = 'FINISHED' and tags.`{TAG}{tag}` = '{value}'"
    return list(store.client.search_runs([store.experiment_id], query, order_by=["attributes.start_time DESC"]))
