"""MLflow's tracking store: opened, initialised where it is fresh, and read."""

from __future__ import annotations

import os
import platform
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.creation import RequestIds, create_once
from sbert_prune.tracking.delivery import FAULTS, first_line, send
from sbert_prune.tracking.experiment import DEFAULT, Problem, chosen_experiment, deleted, misplaced, unknown
from sbert_prune.tracking.heartbeat import Heartbeat, Pulse
from sbert_prune.tracking.locks import check_usable, file_lock
from sbert_prune.tracking.reach import check_answers
from sbert_prune.tracking.secrets import masked_uri
from sbert_prune.tracking.spool import Outbox, Spool
from sbert_prune.tracking.store_uri import (
    check_store,
    open_database,
    own_folder,
    sqlite_path,
    tracking_uri,
)

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.entities import Run as LoggedRun

TAG = "sbert_prune."
HEARTBEAT = f"{TAG}heartbeat"
REQUEST_ID = f"{TAG}request_id"
EMPTY = f"{TAG}empty"  # of a run that MLflow's launcher opened for a command that records nothing
_LOCK = 0x5BE47  # an arbitrary number, the same for all processes that share a database
_LOCK_TIMEOUT_S = 20
_FRESH_TIMEOUT_S = 120  # while another process makes the tables of a fresh database
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
        experiment_id: The experiment of the command's runs.
        experiment_ids: All experiments, in which earlier runs and models are found.
        outbox: Delivers what is logged to runs, and queues it if the store fails.
        pulse: Writes the heartbeats of open runs.
        problem: Why nothing can be recorded, as the experiment was deleted; None where it was not.
        request_ids: Names the requests that create something.
    """

    client: MlflowClient
    uri: str
    experiment_id: str
    experiment_ids: list[str]
    outbox: Outbox
    pulse: Pulse
    problem: Problem | None = None
    request_ids: RequestIds = field(default_factory=RequestIds)


def connect(*, notify: Callable[[str], None] = lambda _: None, writes: bool = True, experiment: str = DEFAULT) -> Store:
    """Open the tracking store, initialise it where it is fresh, and find or create the experiment.

    Args:
        notify: Called with a message when the store stops answering.
        writes: Whether the command cannot work without writing, so that a locked store is refused.
        experiment: The name of the experiment, unless the environment chooses another.

    Raises:
        TrackingError: The store does not answer, or is locked by another process.
    """
    check_store()
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    if uri.startswith("http"):
        check_answers(uri)
    if uri.startswith("postgresql"):  # a row that a stopped process has locked; libpq reads the variable
        os.environ.setdefault("PGOPTIONS", f"-c lock_timeout={_LOCK_TIMEOUT_S}s")
    with store_errors(f"The tracking store {masked_uri(uri)} does not answer"):
        with _exclusive(uri):
            if (path := sqlite_path(uri)) is not None:
                check_usable(path, writes=writes)
            client = MlflowClient(uri)
            existing = list(pages(lambda token: client.search_experiments(page_token=token)))
            root = _artifact_root(client) if not uri.startswith("http") else ""
            _check_locations(client, [entry for entry in existing if _folder(entry.artifact_location) == root], uri)
            experiment_id = _experiment(client, experiment, root)
        chosen = _existing(client, experiment_id)
        _check_locations(client, [chosen], uri)
        if _KIND[0] not in chosen.tags:
            with suppress(MlflowException):  # optional: the user may have read permission only
                client.set_experiment_tag(experiment_id, *_KIND)
    spool = Spool(own_folder() / "spool", masked_uri(uri, keep_options=True))
    outbox, pulse = Outbox(partial(send, client), spool, notify), Pulse(partial(_beat, client))
    is_deleted = chosen.lifecycle_stage == LifecycleStage.DELETED
    problem = deleted(experiment_id, str(chosen.name)) if is_deleted else None
    ids = dict.fromkeys([experiment_id, *(str(entry.experiment_id) for entry in existing)])
    return Store(client, uri, experiment_id, list(ids), outbox, pulse, problem)


def _existing(client: MlflowClient, experiment_id: str) -> Experiment:
    try:
        return client.get_experiment(experiment_id)
    except MlflowException as error:
        if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            raise
        raise TrackingError(str(unknown(experiment_id))) from error


def _check_locations(client: MlflowClient, experiments: Sequence[Experiment], uri: str) -> None:
    """Refuse a SQLite store that was moved or copied."""
    path = sqlite_path(uri)
    for experiment in experiments if path is not None else ():

        def has_runs(experiment_id: str = experiment.experiment_id) -> bool:
            return bool(client.search_runs([experiment_id], max_results=1))

        assert path is not None
        if problem := misplaced(path, str(experiment.artifact_location), has_runs=has_runs):
            raise TrackingError(str(problem))


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
    with file_lock(Path(f"{path}.lock")) if path else alone_in_database(uri):
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
        is_fresh = connection.execute(text("SELECT to_regclass('alembic_version') IS NULL")).scalar()
        timeout_s = _FRESH_TIMEOUT_S if is_fresh else _LOCK_TIMEOUT_S
        name = f"sbert-prune, process {os.getpid()} on {platform.node()}"[:63]
        connection.execute(
            text("SELECT set_config('lock_timeout', :timeout, false), set_config('application_name', :name, false)"),
            {"timeout": f"{timeout_s}s", "name": name},
        )
        try:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        except OperationalError as error:
            raise TrackingError(f"The database {masked_uri(uri)} is locked by {_owner(connection)}.") from error
        yield


def _owner(connection: Connection) -> str:
    """Return who holds PostgreSQL's advisory lock."""
    query = (
        "SELECT pid, application_name, coalesce(host(client_addr), 'its own machine') FROM pg_locks "
        "JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND objid = :key AND granted"
    )
    row = connection.execute(text(query), {"key": _LOCK}).first()
    if row is None:
        return "another process, which has just released it. Run the command again"
    return (
        f"{row[1] or 'another program'}, connected from {row[2]}. Continue or end that process, "
        f"or end its connection: SELECT pg_terminate_backend({row[0]})"
    )


def _artifact_root(client: MlflowClient) -> str:
    """Return where the experiments of a database have their folders of artifacts; "" where that is not known."""
    default = client.get_experiment_by_name(DEFAULT)
    location = str(default.artifact_location) if default is not None else ""
    return _folder(location) if default is not None and location.endswith(f"/{default.experiment_id}") else ""


def _folder(location: str) -> str:
    return location.rpartition("/")[0]


def _experiment(client: MlflowClient, name: str, root: str) -> str:
    experiment_id, name = chosen_experiment(name)
    if experiment_id is not None:
        return experiment_id

    def find() -> list[str]:
        experiment = client.get_experiment_by_name(name)
        return [] if experiment is None else [str(experiment.experiment_id)]

    if existing := find():
        return existing[0]
    # A database's client would take the current folder.
    location = f"{root}/{re.sub('[^A-Za-z0-9]+', '-', name)[:40]}-{secrets.token_hex(4)}" if root else None
    try:
        return create_once(client, lambda: str(client.create_experiment(name, artifact_location=location)), find)
    except MlflowException:
        if existing := find():  # another process has just created it
            return existing[0]
        raise


def in_experiment_of(store: Store, run_id: str) -> Store:
    """Return the store with the experiment of a run for the command's runs, unless the environment chooses one."""
    if chosen_experiment("") == (None, ""):
        with suppress(*FAULTS):
            experiment_id = str(store.client.get_run(run_id).info.experiment_id)
            if experiment_id in store.experiment_ids:
                return replace(store, experiment_id=experiment_id)
    return store


def deleted_experiments(store: Store) -> dict[str, Problem]:
    """Return the deleted experiments of the store, by id. Raises TrackingError."""
    with store_errors("The experiments cannot be listed"):
        found = pages(lambda token: store.client.search_experiments(view_type=ViewType.DELETED_ONLY, page_token=token))
        return {str(entry.experiment_id): deleted(str(entry.experiment_id), str(entry.name)) for entry in found}


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
    """Return the runs that match a filter of MLflow, oldest first. Raises MLflow's errors."""
    return list(
        pages(
            lambda token: store.client.search_runs(
                store.experiment_ids, query, order_by=["attributes.start_time ASC"], page_token=token
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
    return list(store.client.search_runs(store.experiment_ids, query, order_by=["attributes.start_time DESC"]))
