"""Orphans of killed commands in the store: runs that were never closed, models that were never registered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException

from sbert_prune.tracking.delivery import FAULTS
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.logged_models import LOGGED, delete_model, newest_pending_models
from sbert_prune.tracking.store import HEARTBEAT, TAG, pages, store_errors
from sbert_prune.tracking.store_uri import sqlite_path

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """Close the runs of processes that ended without closing them, and delete models that these had not registered.

    Raises TrackingError.
    """
    with store_errors("The orphans of killed commands could not be cleaned up"):
        orphans = [run for run in _open_runs(store) if _is_orphan(run)]
        unregistered = _unregistered_models(store, orphans)
        skipped = {model.model_id: reason for model in unregistered if (reason := why_not_deletable(store, model))}
        models = tuple(model.model_id for model in unregistered if model.model_id not in skipped)
        for model_id in models:
            delete_model(store, model_id)
        for run in orphans:
            _close(store, run)
    return ClosedOrphans(tuple(run.info.run_name for run in orphans), models, skipped)


def _open_runs(store: Store) -> list[LoggedRun]:
    with_heartbeat = f"attributes.status = 'RUNNING' and tags.`{HEARTBEAT}` LIKE '%'"
    return list(pages(lambda token: store.client.search_runs([store.experiment_id], with_heartbeat, page_token=token)))


def _is_orphan(run: LoggedRun) -> bool:
    heartbeat = Heartbeat.parse(run.data.tags[HEARTBEAT])
    return heartbeat is not None and heartbeat.is_of_dead_process


def _close(store: Store, run: LoggedRun) -> None:
    heartbeat = Heartbeat.parse(run.data.tags[HEARTBEAT])
    assert heartbeat is not None  # checked by _is_orphan
    store.client.set_tag(run.info.run_id, f"{TAG}error", f"its process on {heartbeat.host} ended without a word")
    store.client.set_terminated(run.info.run_id, "KILLED", int(heartbeat.at.timestamp() * 1000))


def _unregistered_models(store: Store, orphans: list[LoggedRun]) -> list[LoggedModel]:
    """Return incompletely logged models, and complete ones that `register` logged for a version it never created.

    A run that has ended leaves an incomplete one if it was never told that the server had made it.
    """
    of_orphans = [model for run in orphans for model in _models_of(store, run)]
    known = {model.model_id for model in of_orphans}
    pending = [model for model in newest_pending_models(store) if model.model_id not in known]
    models = of_orphans + [model for model in pending if model.source_run_id and _has_ended(store, model.source_run_id)]
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


def _models_of(store: Store, run: LoggedRun) -> list[LoggedModel]:
    of_run = f"source_run_id = '{run.info.run_id}'"
    models = pages(lambda token: store.client.search_logged_models([store.experiment_id], of_run, page_token=token))
    is_register = run.data.tags.get(f"{TAG}step") == "register"
    return [model for model in models if is_register or str(model.status) != "READY"]
