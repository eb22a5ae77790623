"""The runs of a command: opened, written to, and ended with the correct status, even if the store fails."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from mlflow import MlflowClient
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.creation import create_once
from sbert_prune.tracking.delivery import FAULTS, first_line, short_requests
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.secrets import masked_uri
from sbert_prune.tracking.spool import Entry, Kind
from sbert_prune.tracking.store import EMPTY, HEARTBEAT, REQUEST_ID, TAG, find_runs, store_errors
from sbert_prune.tracking.store_uri import tracking_uri
from sbert_prune.tracking.twins import discard_twins_of_launched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sbert_prune.models.lineage import DataRecord
    from sbert_prune.tracking.store import Store

NOTE = "mlflow.note.content"
"""The tag with the description of a run or an experiment."""

_LONGEST_NOTE = 2_000
_GENERATED_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")


@dataclass(frozen=True)
class Run:
    """One open run. Logging never raises because the store fails: entries are then queued and delivered later.

    Args:
        store: The store that has it.
        run_id: Its id.
        launched_with: Names of the parameters that `mlflow run` has logged on it; they keep their values, as MLflow
            accepts no others.
    """

    store: Store
    run_id: str
    launched_with: frozenset[str] = frozenset()

    def adopt(self, run_id: str) -> None:
        """Make another run, of a command that was killed, a child of this one."""
        self.store.outbox.put(Entry(run_id, "tags", {"mlflow.parentRunId": self.run_id}, _now_ms()))

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log parameters that are not empty; values that are too long for MLflow are cut."""
        shown = {key: value[:6000] for key, value in params.items() if value and key not in self.launched_with}
        self._put("params", shown)

    def log_metrics(self, metrics: Mapping[str, float], *, model_id: str | None = None) -> None:
        """Log final metrics, also on a logged model if its id is given."""
        now = _now_ms()
        self._put("metrics", [(key, float(value), now, 0, model_id) for key, value in metrics.items()])

    def log_series(self, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Log metrics of several optimizer steps in one call."""
        now = _now_ms()
        self._put(
            "metrics",
            [(key, float(value), now, step, None) for step, metrics in points for key, value in metrics.items()],
        )

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set our tags; keys get the prefix `sbert_prune.`."""
        self._put("tags", {TAG + key: value for key, value in tags.items()})

    def describe(self, text: str) -> None:
        """Set the description that MLflow's page of the run shows, in Markdown."""
        self._put("tags", {NOTE: text[:_LONGEST_NOTE]})

    def log_data(self, record: DataRecord, context: str) -> None:
        """Log a split as a dataset input with the context "training" or "testing"."""
        dataset = {
            "name": record.name,
            "digest": record.digest[:16],
            "source_type": "local",
            "source": json.dumps({"uri": record.source}),
            "profile": json.dumps({"num_rows": record.rows, "num_skipped": record.skipped, "num_leaks": record.leaks}),
        }
        self._put("inputs", {"dataset": dataset, "context": context})

    def log_output(self, model_id: str) -> None:
        """Log a logged model as an output of this run."""
        self._put("outputs", {"model_id": model_id})

    def log_json(self, content: Any, name: str) -> None:
        """Log a value as a JSON artifact."""
        self.log_text(json.dumps(content, indent=2), name)

    def log_text(self, content: str, name: str) -> None:
        """Log a text artifact."""
        self._put("text", {"name": name, "text": content})

    def log_figure(self, figure: Figure, name: str) -> None:
        """Log a figure as an artifact, in the format of its file extension."""
        self.log_bytes(render(figure, name), name)

    def log_bytes(self, content: bytes, name: str) -> None:
        """Log an artifact of any kind."""
        self._put("bytes", {"name": name, "base64": b64encode(content).decode()})

    def end(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """End the run with the current time, even if that is delivered later."""
        self._put("terminated", {"status": status})
        self.store.pulse.end(self.run_id)

    @contextmanager
    def system_metrics(self) -> Iterator[None]:
        """Log the machine's load, memory, disk and network under `system/`, every ten seconds."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)  # it would warn of missing GPUs
        monitor = SystemMetricsMonitor(self.run_id, tracking_uri=self.store.uri)
        monitor.mlflow_logger = SimpleNamespace(record_metrics=lambda metrics, step: self.log_series([(step, metrics)]))
        stopped = threading.Event()

        def watch() -> None:  # MLflow's own loop stops forever at the first request that fails
            while True:
                for _ in range(monitor.samples_before_logging):
                    monitor.collect_metrics()
                    if stopped.wait(monitor.sampling_interval):
                        return
                monitor.publish_metrics(monitor.aggregate_metrics())

        thread = threading.Thread(target=watch, daemon=True, name="system metrics")
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _put(self, kind: Kind, content: Any) -> None:
        if content:
            self.store.outbox.put(Entry(self.run_id, kind, content, _now_ms()))


def render(figure: Figure, name: str) -> bytes:
    """Return a figure in the format of its file extension."""
    image = io.BytesIO()
    figure.savefig(image, format=name.rpartition(".")[2])
    return image.getvalue()


def _now_ms() -> int:
    return int(time.time() * 1000)


def start_run(store: Store, name: str, tags: Mapping[str, str], *, parent: Run | None = None) -> Run:
    """Open a run that the caller ends, for several open runs at a time. Raises TrackingError."""
    with store_errors(f"No run could be opened in {masked_uri(store.uri)}"):
        run = _begin(
            store, name, {TAG + key: value for key, value in tags.items()} | {HEARTBEAT: str(Heartbeat.now())}, parent
        )
    store.outbox.wake()
    store.pulse.begin(run.run_id)
    return run


@contextmanager
def open_run(store: Store, name: str, tags: Mapping[str, str], *, parent: Run | None = None) -> Iterator[Run]:
    """Open a run and end it as FINISHED, FAILED, or KILLED if a signal ended the command.

    The run of a command reuses the one that `mlflow run` opened for it; a child never does.
    """
    run = start_run(store, name, tags, parent=parent)
    try:
        yield run
    except BaseException as error:
        run.set_tags({"error": first_line(error)[:500]})
        run.end("KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
        if isinstance(error, MlflowException | RequestException | SQLAlchemyError):
            raise TrackingError(
                f"The store {masked_uri(store.uri)} failed in the middle of a run: {first_line(error)}"
            ) from error
        raise
    else:
        run.end("FINISHED")


def give_up_launched_run(command: str) -> None:
    """Mark the run that `mlflow run` opened for this command, which records nothing, to be deleted by the next one.

    MLflow's launcher ends it after this command, and would fail if it were deleted before. A store that fails is left.
    """
    run_id = os.environ.pop("MLFLOW_RUN_ID")
    note = f"`{command}` records nothing: the next command deletes this run."
    tags = {EMPTY: "true", "mlflow.runName": command, NOTE: note}
    with suppress(*FAULTS), short_requests():
        MlflowClient(tracking_uri()).log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])


def _begin(store: Store, name: str, tags: Mapping[str, str], parent: Run | None) -> Run:
    # `mlflow run` passes its run in the environment; if it stayed there, every child would write into it.
    adopted = os.environ.pop("MLFLOW_RUN_ID", None)
    if parent is None and adopted:
        run = store.client.get_run(adopted)
        if _GENERATED_NAME.fullmatch(run.info.run_name or ""):
            store.client.set_tag(adopted, "mlflow.runName", name)
        discard_twins_of_launched(store, run)
        store.client.log_batch(adopted, tags=[RunTag(*tag) for tag in tags.items()], synchronous=True)
        return Run(store, adopted, frozenset(run.data.params))
    child = {"mlflow.parentRunId": parent.run_id} if parent else {}
    request_id = store.request_ids.next()
    described = resolve_tags({**child, **tags, REQUEST_ID: request_id})  # user, source and commit
    run_id = create_once(
        store.client,
        lambda: str(store.client.create_run(store.experiment_id, run_name=name, tags=described).info.run_id),
        lambda: [run.info.run_id for run in find_runs(store, f"tags.`{REQUEST_ID}` = '{request_id}'")],
    )
    store.request_ids.answered.add(run_id)
    return Run(store, run_id)
