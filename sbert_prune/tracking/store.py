"""MLflow's tracking store: opened, initialised where it is fresh, and read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
_LOCK = 0x5BE47  # any number, the same for all who share a database
_KIND = (
    "mlflow.experimentKind",
    "custom_model_development",
)  # the pages go by ?workflowType= instead: see pipelines/flows/summary.py


@dataclass(frozen=True)
class Store:
    """A tracking store that answers, the experiment that runs go to, and what keeps their record while it does not answer.

    pulse: tells other processes that the runs that are open here are alive.
    """

    client: MlflowClient
    uri: str
    experiment_id: str
    outbox: Outbox
    pulse: Pulse


def connect(*, notify: Callable[[str], None] = lambda _: None) -> Store:
    """Open the tracking store, initialise it where it is fresh, and find or create the experiment.

    notify: is told when the store stops answering.  Raises TrackingError when it does not answer now.
    """
    check_store()
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        with _alone(uri):
            client = MlflowClient(uri)
            experiment_id = _experiment(client)
        experiment = client.get_experiment(experiment_id)
        _check_place(client, experiment, uri)
        if _KIND[0] not in experiment.tags:
            with suppress(MlflowException):  # who may only read the experiment can do without
                client.set_experiment_tag(experiment_id, *_KIND)
    except FAULTS as error:
        raise TrackingError(
            f"The tracking store {without_password(uri)} does not answer: {first_line(error)}"
        ) from error
    spool = Spool(own_folder() / "spool", without_password(uri))
    return Store(
        client, uri, experiment_id, Outbox(partial(send, client), spool, notify), Pulse(partial(_beat, client))
    )


def _check_place(client: MlflowClient, experiment: Experiment, uri: str) -> None:
    """A SQLite store names its artifacts by whole paths: moved or copied, it would read and write those of the old place."""
    path, location = sqlite_path(uri), Path(local_file_uri_to_path(str(experiment.artifact_location)))
    if path is None or not location.is_absolute() or location.is_relative_to(path.parent.resolve()):
        return
    before = location.parents[1]
    lie_here = (path.parent / location.relative_to(before)).exists()
    is_copy = lie_here and (before / path.name).is_file() and not (before / path.name).samefile(path)
    nowhere = not before.exists() and bool(client.search_runs([experiment.experiment_id], max_results=1))
    if is_copy or (not location.exists() and (lie_here or nowhere)):
        raise TrackingError(
            f"{path} {'is a copy' if is_copy else 'was moved'}: its artifacts are said to lie in {location}"
            f"{', which belong to the store there' if is_copy else ', which is not there'}. "
            f"{f'Work in {before}' if is_copy else f'Move it back to {before}, or link there to it: ln -s {path.parent} {before}'}."
        )


def _beat(client: MlflowClient, run_id: str, heartbeat: Heartbeat) -> None:
    with suppress(*FAULTS):  # the next one comes in a minute
        client.set_tag(run_id, HEARTBEAT, str(heartbeat))


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Two processes that initialise one fresh database break it: one after the other."""
    path = sqlite_path(uri)
    with FileLock(f"{path}.lock") if path else alone_in_database(uri):
        yield


@contextmanager
def alone_in_database(uri: str) -> Iterator[None]:
    """PostgreSQL's advisory lock, which goes with the connection, however its process ends. Nothing for a server: it is one already."""
    if not uri.startswith("postgresql"):
        yield
        return
    with open_database(uri).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        yield


def _experiment(client: MlflowClient) -> str:
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # somebody else was faster
        if found is None:
            raise
        return str(found.experiment_id)


def pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """All that MLflow gives page by page. ask: gets the page behind a token."""
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def read_artifact(store: Store, run_id: str, name: str) -> bytes | None:
    """An artifact of a run; None where it is not there, or cannot be fetched."""
    with suppress(*FAULTS), TemporaryDirectory() as folder:
        return Path(store.client.download_artifacts(run_id, name, folder)).read_bytes()
    return None


def is_running(store: Store, run_id: str) -> bool:
    """Whether a run is open; one that is not there any more is not. Raises TrackingError when the store does not answer."""
    try:
        return str(store.client.get_run(run_id).info.status) == "RUNNING"
    except FAULTS as error:
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise TrackingError(f"The run {run_id} cannot be looked up: {first_line(error)}") from error


def finished_runs(store: Store, tag: str, value: str) -> list[LoggedRun]:
    """The runs that carry one of our tags and have ended well, newest first."""
    wanted = f"attributes.status = 'FINISHED' and tags.`{TAG}{tag}` = '{value}'"
    return list(store.client.search_runs([store.experiment_id], wanted, order_by=["attributes.start_time DESC"]))
