"""MLflow's tracking store: where it is, and the runs of a command with what they hold."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError

from sbert_prune.errors import TrackingError
from sbert_prune.store_uri import check_store, sqlite_path, tracking_uri, without_password

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sbert_prune.lineage import DataRecord

TAG = "sbert_prune."
FAULTS = (MlflowException, RequestException, SQLAlchemyError, ImportError, OSError)
"""What MLflow's client raises when a store does not answer as it should."""

_KIND = ("mlflow.experimentKind", "custom_model_development")  # MLflow 3.17's pages go by ?workflowType= instead: see pipelines/summary.py
_GENERATED_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")
_BATCH = 100  # parameters and tags that MLflow takes in one call


@dataclass(frozen=True)
class Store:
    """A tracking store that answers, and the experiment that runs go to."""

    client: MlflowClient
    uri: str
    experiment_id: str


@dataclass(frozen=True)
class Run:
    """One open run."""

    store: Store
    run_id: str

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log parameters; values longer than MLflow holds are cut."""
        for part in _parts([Param(key, value[:6000]) for key, value in params.items()]):
            self.store.client.log_batch(self.run_id, params=part)

    def log_metrics(self, metrics: Mapping[str, float], *, model_id: str | None = None) -> None:
        """Log final metrics, on a logged model as well where its id is given."""
        now = int(time.time() * 1000)
        entries = [Metric(key, value, now, 0, model_id=model_id, run_id=self.run_id) for key, value in metrics.items()]
        self.store.client.log_batch(self.run_id, metrics=entries)

    def log_series(self, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Log metrics of several optimizer steps in one call."""
        now = int(time.time() * 1000)
        entries = [Metric(key, value, now, step) for step, metrics in points for key, value in metrics.items()]
        self.store.client.log_batch(self.run_id, metrics=entries)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set our tags; keys get the prefix `sbert_prune.`."""
        self.store.client.log_batch(self.run_id, tags=[RunTag(TAG + key, value) for key, value in tags.items()])

    def log_data(self, record: DataRecord, context: str) -> None:
        """Log a split as a dataset input. context: training or testing."""
        dataset = Dataset(
            name=record.name,
            digest=record.digest[:16],
            source_type="local",
            source=json.dumps({"uri": record.source}),
            profile=json.dumps({"num_rows": record.rows, "num_skipped": record.skipped}),
        )
        self.store.client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_output(self, model_id: str) -> None:
        """Show a logged model as what this run made."""
        self.store.client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step=0)])

    def log_json(self, content: Any, name: str) -> None:
        """Log a value as a JSON artifact."""
        self.store.client.log_text(self.run_id, json.dumps(content, indent=2), name)

    @contextmanager
    def system_metrics(self) -> Iterator[None]:
        """Record the machine's load, memory, disk and network beside the run's metrics, under `system/`, every ten seconds."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)  # each start and end would be told
        monitor = SystemMetricsMonitor(self.run_id, tracking_uri=self.store.uri)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def log_text(self, content: str, name: str) -> None:
        """Log a text artifact."""
        self.store.client.log_text(self.run_id, content, name)

    def log_figure(self, figure: Figure, name: str) -> None:
        """Log a picture as an artifact."""
        self.store.client.log_figure(self.run_id, figure, name)


def _parts(entries: list[Any]) -> Iterator[list[Any]]:
    return (entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH))


def connect() -> Store:
    """Open the tracking store, initialise it where it is fresh, and find or create the experiment.

    Raises TrackingError when the store does not answer.
    """
    check_store()
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        with _alone(uri):
            client = MlflowClient(uri)
            experiment_id = _experiment(client)
        experiment = client.get_experiment(experiment_id)
        if _KIND[0] not in experiment.tags:
            client.set_experiment_tag(experiment_id, *_KIND)
    except FAULTS as error:
        raise TrackingError(f"The tracking store {without_password(uri)} does not answer: {first_line(error)}") from error
    return Store(client, uri, experiment_id)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Two processes that initialise one fresh SQLite file break it: one after the other."""
    path = sqlite_path(uri)
    with FileLock(f"{path}.lock") if path else nullcontext():
        yield


def _experiment(client: MlflowClient) -> str:
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without passwords."""
    return without_password((str(error).strip().splitlines() or [type(error).__name__])[0])


@contextmanager
def open_run(store: Store, name: str, tags: Mapping[str, str], *, parent: Run | None = None) -> Iterator[Run]:
    """Open a run and end it truthfully: FINISHED, FAILED, or KILLED when a signal ended the command.

    A command's own run adopts the one that `mlflow run` opened for it; a child never does.
    """
    try:
        run = _begin(store, name, parent)
        run.set_tags(tags)
    except FAULTS as error:
        raise TrackingError(f"No run could be opened in {without_password(store.uri)}: {first_line(error)}") from error
    try:
        yield run
    except BaseException as error:
        with suppress(*FAULTS):  # the error under way says more than a store that fails as well
            run.set_tags({"error": first_line(error)[:500]})
            store.client.set_terminated(run.run_id, "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
        if isinstance(error, MlflowException | RequestException | SQLAlchemyError):
            raise TrackingError(f"The store {without_password(store.uri)} failed in the middle of a run: {first_line(error)}") from error
        raise
    store.client.set_terminated(run.run_id, "FINISHED")


def _begin(store: Store, name: str, parent: Run | None) -> Run:
    # `mlflow run` hands its run over in the environment; left there, every child would write into it.
    adopted = os.environ.pop("MLFLOW_RUN_ID", None)
    if parent is None and adopted:
        run = store.client.get_run(adopted)
        if _GENERATED_NAME.fullmatch(run.info.run_name or ""):
            store.client.set_tag(adopted, "mlflow.runName", name)
        return Run(store, adopted)
    tags = resolve_tags({"mlflow.parentRunId": parent.run_id} if parent else None)  # who, from which source and commit
    return Run(store, store.client.create_run(store.experiment_id, run_name=name, tags=tags).info.run_id)
