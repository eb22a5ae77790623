"""Twins: runs and logged models that a server made a second time, because it served one request twice."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mlflow.utils.mlflow_tags import MLFLOW_PROJECT_ENTRY_POINT, MLFLOW_SOURCE_NAME, MLFLOW_USER

from sbert_prune.tracking.creation import is_server
from sbert_prune.tracking.delivery import FAULTS, short_requests
from sbert_prune.tracking.logged_models import delete_model, pending_models_of
from sbert_prune.tracking.store import HEARTBEAT, REQUEST_ID, TAG, find_runs, store_errors

if TYPE_CHECKING:
    from mlflow.entities import Run as LoggedRun

    from sbert_prune.tracking.store import Store

_OPEN = "attributes.status = 'RUNNING'"


def discard_twins(store: Store) -> None:
    """Discard the twins of this command's runs and logged models: what the server made without an answer that arrived.

    A version's twin is discarded at once, by the function that registers it. Raises TrackingError.
    """
    ids = store.request_ids
    if not ids.answered or not is_server(store.uri):
        return
    with (
        store_errors("What the server has made twice could not be deleted"),
        short_requests(),
    ):
        for run in find_runs(store, f"{_OPEN} and tags.`{REQUEST_ID}` LIKE '{ids.command}-%'"):
            if run.info.run_id not in ids.answered:
                _discard_run(store, run)
        for model in pending_models_of(store, ids.command):
            if model.model_id not in ids.answered:
                delete_model(store, model.model_id)


def discard_twins_of_launched(store: Store, launched: LoggedRun) -> None:
    """Discard the twins of the run that `mlflow run` has opened: MLflow's client gave them the same start.

    Raises MLflow's errors.
    """
    tags = launched.data.tags
    if not is_server(store.uri) or MLFLOW_PROJECT_ENTRY_POINT not in tags:
        return
    described = (MLFLOW_PROJECT_ENTRY_POINT, MLFLOW_SOURCE_NAME, MLFLOW_USER)
    for run in find_runs(store, f"{_OPEN} and attributes.start_time = {launched.info.start_time}"):
        is_alike = all(run.data.tags.get(name) == tags.get(name) for name in described)
        is_used = HEARTBEAT in run.data.tags or run.data.params
        if run.info.run_id != launched.info.run_id and is_alike and not is_used:
            _discard_run(store, run)


def _discard_run(store: Store, run: LoggedRun) -> None:
    run_id = run.info.run_id
    store.client.set_tag(run_id, f"{TAG}error", "the server made this run a second time: nothing is recorded in it")
    store.client.set_terminated(run_id, "KILLED")
    with suppress(*FAULTS):  # a user who may not delete leaves it closed
        store.client.delete_run(run_id)
