"""Finding what takes room and is of no use: logged models that no version holds, and work that was broken off."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.steps.checkpointing import Unfinished
from pipelines.steps.context import open_store
from sbert_prune.errors import TrackingError
from sbert_prune.report.tables import table_lines
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.logged_models import delete_model, num_bytes
from sbert_prune.tracking.orphans import needed, out_of_reach
from sbert_prune.tracking.store import TAG, pages
from sbert_prune.tracking.store_uri import own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow.entities import LoggedModel

    from sbert_prune.tracking.store import Store

_STEPS = {"prune", "train_nli", "train_sts", "distil", "register"}
_IN_USE = "as another command is at it"
_WENT_NOT = "as another command has taken it up meanwhile, or it may not be deleted"


@dataclass(frozen=True)
class Leftover:
    """One thing that could go.

    touched_s: when it was last touched, in s since 1970.  delete: does it, and says whether it went.  stays: why it may not go.
    """

    what: str
    name: str
    num_bytes: int
    touched_s: float
    delete: Callable[[], bool]
    stays: str | None = None


def clean(older_than_hours: float, *, deletes: bool) -> list[str]:
    """Tell what could go, or delete it; returns lines for people."""
    with open_store() as store:
        found = [*_models(store), *_unfinished()]
        old = [each for each in found if time.time() - each.touched_s >= 3600 * older_than_hours]
        young = len(found) - len(old)
        tried = [_delete(each) for each in old] if deletes else old
        gone = [each for each in tried if each.stays is None]
        waits = f"; {young} younger than {older_than_hours:g} hours stay{'s' * (young == 1)}" if young else ""
        done = "deleted" if deletes else "would go; nothing was deleted, apply=true does it"
        total = f"{_mb_of(gone)} {done}" if gone else "nothing that could go"
        return [*_table(gone), f"{total}{waits}", *_staying(tried)]


def _table(leftovers: list[Leftover]) -> list[str]:
    rows = [(each.what, each.name, _mb([each])) for each in leftovers]
    return table_lines(("what", "which", "MB"), rows) if rows else []


def _staying(leftovers: list[Leftover]) -> Iterator[str]:
    for reason in dict.fromkeys(each.stays for each in leftovers if each.stays):
        stay = [each for each in leftovers if each.stays == reason]
        yield f"{_mb_of(stay)} stay{'s' * (len(stay) == 1)}, {reason}: {', '.join(each.name for each in stay)}"


def _mb_of(leftovers: list[Leftover]) -> str:
    return f"{len(leftovers)} of {_mb(leftovers)} MB"


def _mb(leftovers: list[Leftover]) -> str:
    return f"{sum(each.num_bytes for each in leftovers) / 1e6:,.1f}"


def _delete(leftover: Leftover) -> Leftover:
    return leftover if leftover.stays or leftover.delete() else replace(leftover, stays=_WENT_NOT)


def _models(store: Store) -> Iterator[Leftover]:
    """Models that one of our steps has logged, and that no version of any registered model needs."""
    try:
        found = list(pages(lambda token: store.client.search_logged_models([store.experiment_id], page_token=token)))
        steps = {
            run_id: _step(store, run_id) for run_id in {model.source_run_id for model in found if model.source_run_id}
        }
        ours = [model for model in found if steps.get(model.source_run_id) in _STEPS]
        held = needed(store, ours)  # asked last: the version of a step that has ended is there by now
        for model in ours:
            if model.model_id not in held:
                yield _of_model(store, model, str(steps[model.source_run_id]))
    except FAULTS as error:
        raise TrackingError(f"The logged models cannot be listed: {first_line(error)}") from error


def _of_model(store: Store, model: LoggedModel, step: str) -> Leftover:
    def delete() -> bool:
        delete_model(store, model.model_id)
        return True

    touched_s = model.last_updated_timestamp / 1000
    return Leftover(
        f"model of {step}", model.model_id, num_bytes(store, model), touched_s, delete, out_of_reach(store, model)
    )


def _step(store: Store, run_id: str) -> str | None:
    """The step that a run was of; None while it is under way, and where nobody knows."""
    try:
        run = store.client.get_run(run_id)
    except FAULTS:
        return None
    step: str | None = run.data.tags.get(f"{TAG}step")
    return None if run.info.status == "RUNNING" else step


def _unfinished() -> Iterator[Leftover]:
    unfinished = Unfinished(own_folder() / "unfinished")
    for folder in sorted(unfinished.folder.glob("*")):
        if folder.is_dir():
            size, touched_s = _measure(folder)
            stays = _IN_USE if unfinished.is_in_use(folder.name) else None
            yield Leftover(
                "unfinished work", str(folder), size, touched_s, partial(unfinished.discard, folder.name), stays
            )


def _measure(folder: Path) -> tuple[int, float]:
    """Bytes of the files, and when anything was last touched, in s since 1970; what goes meanwhile counts for nothing."""
    size, touched_s = 0, 0.0
    for place, _, names in os.walk(folder):
        with suppress(OSError):
            touched_s = max(touched_s, Path(place).stat().st_mtime)
        for name in names:
            with suppress(OSError):
                told = Path(place, name).stat()
                size, touched_s = size + told.st_size, max(touched_s, told.st_mtime)
    return size, touched_s
