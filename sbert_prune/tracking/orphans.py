"""What killed commands have left in the store: runs that nobody will close, models that nobody will register."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.errors import TrackingError
from sbert_prune.spared import needed, out_of_reach
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.heartbeat import Heartbeat
from sbert_prune.tracking.logged_models import delete_model
from sbert_prune.tracking.store import HEARTBEAT, TAG, pages

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as LoggedRun

    from sbert_prune.tracking.store import Store


@dataclass(frozen=True)
class Aftermath:
    """What was done about it. runs: closed as KILLED, by their names.  models: deleted, by their ids.

    spared: models that were left alone, by their ids, with the reason.
    """

    runs: tuple[str, ...]
    models: tuple[str, ...]
    spared: dict[str, str]


def clear_up(store: Store) -> Aftermath:
    """Close the runs of processes that have ended without closing them, and delete the models that they had no time to register.

    Raises TrackingError.
    """
    try:
        dead = [run for run in _open_runs(store) if _is_dead(run)]
        unregistered = _unregistered(store, dead)
        spared = {model.model_id: reason for model in unregistered if (reason := out_of_reach(store, model))}
        models = tuple(model.model_id for model in unregistered if model.model_id not in spared)
        for model_id in models:
            delete_model(store, model_id)
        for run in dead:
            _close(store, run)
    except FAULTS as error:
        raise TrackingError(f"What killed commands have left could not be cleared up: {first_line(error)}") from error
    return Aftermath(tuple(run.info.run_name for run in dead), models, spared)


def _open_runs(store: Store) -> list[LoggedRun]:
    ours = f"attributes.status = 'RUNNING' and tags.`{HEARTBEAT}` LIKE '%'"
    return list(pages(lambda token: store.client.search_runs([store.experiment_id], ours, page_token=token)))


def _is_dead(run: LoggedRun) -> bool:
    heartbeat = Heartbeat.parse(run.data.tags[HEARTBEAT])
    return heartbeat is not None and heartbeat.is_of_the_dead


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
