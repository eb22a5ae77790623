"""Orphans of killed and failed commands in the store: runs that were never closed, models never registered."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.delivery import DEAD, ERROR, FAULTS
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.logged_models import LOGGED, delete_model, newest_pending_models
from sbert_prune.tracking.store import EMPTY, HEARTBEAT, TAG, find_runs, pages, store_errors
from sbert_prune.tracking.store_uri import sqlite_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as LoggedRun
    from mlflow.entities.model_registry import ModelVersion

    from sbert_prune.tracking.store import Store

_ID = re.compile(r"m-[0-9a-f]{32}")  # also the name of a logged model's folder
_RUN = re.compile(r"runs:/+([^/]+)")
_ANYWHERE = "/"


def needed_model_ids(store: Store, models: Sequence[LoggedModel]) -> set[str]:
    """Return the ids of those models that a version of any registered model needs, or may need.

    A version that was not made by sbert-prune may be a copy, or name a folder or a run; if what it needs cannot be
    determined, it may need any model. Raises MLflow's errors if the store does not answer.
    """
    if not models:
        return set()
    versions = pages(lambda token: store.client.search_model_versions("", page_token=token))
    sources = {source for version in list(versions) for source in _sources(store, version)}
    ids = {model_id for source in sources for model_id in _ID.findall(source)}
    runs = {match[1] for source in sources if (match := _RUN.match(source))}
    paths = [_path(source) for source in sources if not _ID.search(source) and not _RUN.match(source)]
    return {
        model.model_id
        for model in models
        if model.model_id in ids
        or model.source_run_id in runs
        or any(_overlap(_path(model.artifact_location), path) for path in paths)
    }


def why_not_deletable(store: Store, model: LoggedModel) -> str | None:
    """Return why the files of a model must not be deleted; None if they may.

    In a copy of a SQLite store, the records name the files of the original.
    """
    path = sqlite_path(store.uri)
    if path is None:
        return None
    folder, is_file = path.parent.resolve(), urlsplit(model.artifact_location).scheme in {"", "file"}
    if is_file and _path(model.artifact_location).is_relative_to(folder):
        return None
    return f"as its files are outside of {folder}, the folder of the store, and may belong to another store"


def _sources(store: Store, version: ModelVersion) -> list[str]:
    """Return the ids of logged models that a version names, and the URI that it loads."""
    ids = [model_id for model_id in (version.model_id, version.tags.get(f"{TAG}model_id")) if model_id]
    source = str(version.source)
    if LOGGED.fullmatch(source):
        return [*ids, source]
    try:
        source = store.client.get_model_version_download_uri(version.name, version.version)
    except FAULTS:
        return [*ids, _ANYWHERE]
    is_vague = not source or (source.startswith("models:") and not LOGGED.fullmatch(source))
    return [*ids, _ANYWHERE if is_vague else source]


def _path(uri: str) -> Path:
    """Return the path of a URI for comparison, with links resolved and without the server."""
    parts = urlsplit(uri)
    return Path("/" + unquote(parts.path).lstrip("/") if parts.scheme else uri).resolve()


def _overlap(first: Path, second: Path) -> bool:
    return first.is_relative_to(second) or second.is_relative_to(first)


@dataclass(frozen=True)
class ClosedOrphans:
    """The orphans that were found.

    Attributes:
        runs: The names of runs that were closed as KILLED.
        models: The ids of models that were deleted.
        skipped: The ids of models that were not deleted, each with the reason.
    """

    runs: tuple[str, ...]
    models: tuple[str, ...]
    skipped: dict[str, str]


def close_orphans(store: Store) -> ClosedOrphans:
    """Close the runs of processes that ended without closing them, and delete models that were never registered.

    Runs of MLflow's launcher in which a command recorded nothing are deleted as well.

    These are models of such runs, and of failed ones that could not delete their models themselves. A run whose end is
    queued has ended well: it is left to the delivery of its end.

    Raises TrackingError.
    """
    with suppress(*FAULTS):  # a user who may not delete leaves them
        for run in find_runs(store, f"attributes.status != 'RUNNING' and tags.`{EMPTY}` = 'true'"):
            store.client.delete_run(run.info.run_id)
    with store_errors("The orphans of killed commands could not be cleaned up"):
        ending = store.outbox.queued_ends()  # read first: an end that is delivered meanwhile is in the store then
        orphans = [run for run in _open_runs(store) if _is_orphan(run) and run.info.run_id not in ending]
        skipped: dict[str, str] = {}
        models: list[str] = []
        for model in _unregistered_models(store, [*orphans, *_failed_runs(store)]):
            reason = why_not_deletable(store, model) or _delete(store, model.model_id)
            if reason is None:
                models.append(model.model_id)
            else:
                skipped[model.model_id] = reason
        for run in orphans:
            _close(store, run)
    return ClosedOrphans(tuple(run.info.run_name for run in orphans), tuple(models), skipped)


def delete_unregistered(store: Store, model_id: str) -> None:
    """Delete a logged model, unless a version needs it. Raises TrackingError, and MLflow's errors."""
    if not needed_model_ids(store, [store.client.get_logged_model(model_id)]):
        delete_model(store, model_id)


def _delete(store: Store, model_id: str) -> str | None:
    """Delete a logged model; return why it could not be deleted."""
    try:
        delete_model(store, model_id)
    except TrackingError as error:
        return f"as it could not be deleted ({error})"
    return None


_SEARCHED = 100
"""So many failed runs, the newest, are searched for models: the number of calls does not grow with the store."""


def _failed_runs(store: Store) -> list[LoggedRun]:
    """Return our newest runs that failed or were killed; no trials, which are many: `cleanup` finds their models."""
    ended = "attributes.status != 'RUNNING' and attributes.status != 'FINISHED'"
    query = f"{ended} and tags.`{HEARTBEAT}` LIKE '%' and tags.`{TAG}step` != 'trial'"
    newest = ["attributes.start_time DESC"]
    return list(store.client.search_runs(store.experiment_ids, query, max_results=_SEARCHED, order_by=newest))


def _open_runs(store: Store) -> list[LoggedRun]:
    with_heartbeat = f"attributes.status = 'RUNNING' and tags.`{HEARTBEAT}` LIKE '%'"
    return list(pages(lambda token: store.client.search_runs(store.experiment_ids, with_heartbeat, page_token=token)))


def _is_orphan(run: LoggedRun) -> bool:
    heartbeat = Heartbeat.parse(run.data.tags[HEARTBEAT])
    return heartbeat is not None and heartbeat.is_of_dead_process


def _close(store: Store, run: LoggedRun) -> None:
    heartbeat = Heartbeat.parse(run.data.tags[HEARTBEAT])
    assert heartbeat is not None  # checked by _is_orphan
    store.client.set_tag(run.info.run_id, ERROR, f"its process on {heartbeat.host} {DEAD}")
    store.client.set_terminated(run.info.run_id, "KILLED", int(heartbeat.at.timestamp() * 1000))


def _unregistered_models(store: Store, runs: list[LoggedRun]) -> list[LoggedModel]:
    """Return incompletely logged models, and complete ones that `register` logged for a version it never created.

    A run that has ended leaves an incomplete one if the server made it, but its answer was lost.
    """
    steps = {run.info.run_id: run.data.tags.get(f"{TAG}step") for run in runs}
    of_runs = [
        model
        for model in _models_of(store, list(steps))
        if str(model.status) != "READY" or steps[model.source_run_id] == "register"
    ]
    known = {model.model_id for model in of_runs}
    pending = [model for model in newest_pending_models(store) if model.model_id not in known]
    models = of_runs + [model for model in pending if model.source_run_id and _has_ended(store, model.source_run_id)]
    needed = needed_model_ids(store, models)
    return [model for model in models if model.model_id not in needed]


def _has_ended(store: Store, run_id: str) -> bool:
    """Return whether a run is one of our steps, and has ended."""
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return str(run.info.status) != "RUNNING" and f"{TAG}step" in run.data.tags


def _models_of(store: Store, run_ids: Sequence[str]) -> Iterator[LoggedModel]:
    for start in range(0, len(run_ids), _SEARCHED):
        listed = ", ".join(f"'{run_id}'" for run_id in run_ids[start : start + _SEARCHED])
        yield from _search_models(store, f"source_run_id IN ({listed})")


def _search_models(store: Store, query: str) -> Iterator[LoggedModel]:
    return pages(lambda token: store.client.search_logged_models(store.experiment_ids, query, page_token=token))
