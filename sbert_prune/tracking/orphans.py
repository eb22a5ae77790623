"""What killed commands have left in the store: runs that nobody will close, models that nobody will register."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sbert_prune.errors import TrackingError
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.logged_models import LOGGED, delete_model
from sbert_prune.tracking.store import HEARTBEAT, TAG, pages
from sbert_prune.tracking.store_uri import sqlite_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as LoggedRun
    from mlflow.entities.model_registry import ModelVersion

    from sbert_prune.tracking.store import Store

_ID = re.compile(r"m-[0-9a-f]{32}")  # MLflow calls the folder of a logged model by it, too
_RUN = re.compile(r"runs:/+([^/]+)")
_ANYWHERE = "/"


def needed(store: Store, models: Sequence[LoggedModel]) -> set[str]:
    """The ids of those of the models that a version of any registered model needs, or may need, as what it needs cannot be found out.

    Versions that others have made may be copies, or name a folder or a run. Raises what MLflow does when the store does not answer.
    """
    if not models:
        return set()
    versions = pages(lambda token: store.client.search_model_versions("", page_token=token))
    needs = {need for version in list(versions) for need in _needs(store, version)}
    ids = {name for need in needs for name in _ID.findall(need)}
    runs = {found[1] for need in needs if (found := _RUN.match(need))}
    places = [_place(need) for need in needs if not _ID.search(need) and not _RUN.match(need)]
    return {
        model.model_id
        for model in models
        if model.model_id in ids
        or model.source_run_id in runs
        or any(_meet(_place(model.artifact_location), place) for place in places)
    }


def out_of_reach(store: Store, model: LoggedModel) -> str | None:
    """Why the bytes of a model are to be left alone: in a copy of a SQLite store, records name the original's. None where they may go."""
    path = sqlite_path(store.uri)
    if path is None:
        return None
    folder, is_file = path.parent.resolve(), urlsplit(model.artifact_location).scheme in {"", "file"}
    if is_file and _place(model.artifact_location).is_relative_to(folder):
        return None
    return f"as the bytes lie outside of {folder}, where the store is, and may be another store's"


def _needs(store: Store, version: ModelVersion) -> list[str]:
    """Ids of logged models, and the URI of what a version loads."""
    ids = [named for named in (version.model_id, version.tags.get(f"{TAG}model_id")) if named]
    source = str(version.source)
    if LOGGED.fullmatch(source):
        return [*ids, source]
    try:
        source = store.client.get_model_version_download_uri(version.name, version.version)
    except FAULTS:
        return [*ids, _ANYWHERE]
    is_vague = not source or (source.startswith("models:") and not LOGGED.fullmatch(source))
    return [*ids, _ANYWHERE if is_vague else source]


def _place(uri: str) -> Path:
    """A path to compare by: links are followed, and the server that it is on is left out."""
    parts = urlsplit(uri)
    return Path("/" + unquote(parts.path).lstrip("/") if parts.scheme else uri).resolve()


def _meet(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


@dataclass(frozen=True)
class ClosedOrphans:
    """What was done about it. runs: closed as KILLED, by their names.  models: deleted, by their ids.

    skipped: models that were left alone, by their ids, with the reason.
    """

    runs: tuple[str, ...]
    models: tuple[str, ...]
    skipped: dict[str, str]


def close_orphans(store: Store) -> ClosedOrphans:
    """Close the runs of processes that have ended without closing them, and delete the models that they had no time to register.

    Raises TrackingError.
    """
    try:
        dead = [run for run in _open_runs(store) if _is_dead(run)]
        unregistered = _unregistered(store, dead)
        skipped = {model.model_id: reason for model in unregistered if (reason := out_of_reach(store, model))}
        models = tuple(model.model_id for model in unregistered if model.model_id not in skipped)
        for model_id in models:
            delete_model(store, model_id)
        for run in dead:
            _close(store, run)
    except FAULTS as error:
        raise TrackingError(f"What killed commands have left could not be cleared up: {first_line(error)}") from error
    return ClosedOrphans(tuple(run.info.run_name for run in dead), models, skipped)


def _open_runs(store: Store) -> list[LoggedRun]:
    ours = f"attributes.status = 'RUNNING' and tags.`{HEARTBEAT}` LIKE '%'"
    return list(pages(lambda token: store.client.search_runs([store.experiment_id], ours, page_token=token)))


def _is_dead(run: LoggedRun) -> bool:
    heartbeat = Heartbeat.parse(run.data.tags[HEARTBEAT])
    return heartbeat is not None and heartbeat.is_of_dead_process


def _close(store: Store, run: LoggedRun) -> None:
    heartbeat = Heartbeat.parse(run.data.tags[HEARTBEAT])
    assert heartbeat is not None  # it was found dead by it
    store.client.set_tag(run.info.run_id, f"{TAG}error", f"its process on {heartbeat.host} ended without a word")
    store.client.set_terminated(run.info.run_id, "KILLED", int(heartbeat.at.timestamp() * 1000))


def _unregistered(store: Store, dead: list[LoggedRun]) -> list[LoggedModel]:
    """Models that were only half logged, and whole ones that `register` logged for a version that never came."""
    left = [model for run in dead for model in _left_by(store, run)]
    held = needed(store, left)
    return [model for model in left if model.model_id not in held]


def _left_by(store: Store, run: LoggedRun) -> list[LoggedModel]:
    made = f"source_run_id = '{run.info.run_id}'"
    found = pages(lambda token: store.client.search_logged_models([store.experiment_id], made, page_token=token))
    registers = run.data.tags.get(f"{TAG}step") == "register"
    return [model for model in found if registers or str(model.status) != "READY"]
