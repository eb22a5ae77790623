"""Finding what takes room and is of no use: logged models that no version holds, and work that was broken off."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipelines.context import open_store
from pipelines.unfinished import Unfinished
from sbert_prune.delivery import FAULTS, first_line
from sbert_prune.errors import TrackingError
from sbert_prune.models import delete_model, num_bytes
from sbert_prune.report.terminal import table_lines
from sbert_prune.store import TAG, pages
from sbert_prune.store_uri import own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow.entities import LoggedModel

    from sbert_prune.store import Store

_STEPS = {"prune", "train_nli", "train_sts", "distil", "register"}


@dataclass(frozen=True)
class Leftover:
    """One thing that could go. touched_s: when it was last touched, in s since 1970.  delete: does it."""

    what: str
    name: str
    num_bytes: int
    touched_s: float
    delete: Callable[[], None]


def clean(older_than_hours: float, *, deletes: bool) -> list[str]:
    """Tell what could go, or delete it; returns lines for people."""
    with open_store() as store:
        found = [*_models(store), *_unfinished()]
        old = [each for each in found if time.time() - each.touched_s >= 3600 * older_than_hours]
        young = len(found) - len(old)
        stays = f"; {young} younger than {older_than_hours:g} hours stay{'s' * (young == 1)}" if young else ""
        if not old:
            return [f"nothing that could go{stays}"]
        for each in old if deletes else ():
            each.delete()
        rows = [(each.what, each.name, f"{each.num_bytes / 1e6:,.1f}") for each in old]
        total = sum(each.num_bytes for each in old) / 1e6
        done = "deleted" if deletes else "would go; nothing was deleted, apply=true does it"
        return [*table_lines(("what", "which", "MB"), rows), f"{len(old)} of {total:,.1f} MB {done}{stays}"]


def _models(store: Store) -> Iterator[Leftover]:
    """Models that one of our steps has logged, and that no version of any registered model holds."""
    try:
        registered = pages(lambda token: store.client.search_model_versions("", page_token=token))
        held = {source for version in registered for source in (str(version.source), f"models:/{version.tags.get(f'{TAG}model_id')}")}
        found = list(pages(lambda token: store.client.search_logged_models([store.experiment_id], page_token=token)))
        steps = {run_id: _step(store, run_id) for run_id in {model.source_run_id for model in found if model.source_run_id}}
        ours = [model for model in found if steps.get(model.source_run_id) in _STEPS and f"models:/{model.model_id}" not in held]
        for model in ours:
            yield _of_model(store, model, str(steps[model.source_run_id]))
    except FAULTS as error:
        raise TrackingError(f"The logged models cannot be listed: {first_line(error)}") from error


def _of_model(store: Store, model: LoggedModel, step: str) -> Leftover:
    def delete() -> None:
        delete_model(store, model.model_id)

    return Leftover(f"model of {step}", model.model_id, num_bytes(store, model), model.last_updated_timestamp / 1000, delete)


def _step(store: Store, run_id: str) -> str | None:
    try:
        step: str | None = store.client.get_run(run_id).data.tags.get(f"{TAG}step")
    except FAULTS:
        return None
    return step


def _unfinished() -> Iterator[Leftover]:
    unfinished = Unfinished(own_folder() / "unfinished")
    for folder in sorted(unfinished.folder.glob("*")):
        if folder.is_dir():
            files = [path for path in folder.rglob("*") if path.is_file()]
            touched = max((path.stat().st_mtime for path in files), default=folder.stat().st_mtime)
            size = sum(path.stat().st_size for path in files)
            yield Leftover("unfinished work", str(folder), size, touched, partial(unfinished.discard, folder.name))
