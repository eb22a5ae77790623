"""Find and delete unneeded files: logged models that no version needs, and unfinished work."""

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
from sbert_prune.system.table import table_lines
from sbert_prune.tracking.delivery import FAULTS
from sbert_prune.tracking.logged_models import delete_model, num_bytes
from sbert_prune.tracking.orphans import needed_model_ids, why_not_deletable
from sbert_prune.tracking.store import TAG, pages, store_errors
from sbert_prune.tracking.store_uri import own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow.entities import LoggedModel

    from sbert_prune.tracking.store import Store

_STEPS = {"prune", "train_nli", "train_sts", "distil", "register", "trial"}
_IN_USE = "as another command is using it"
_NOT_DELETED = "as another command has started using it, or it may not be deleted"


@dataclass(frozen=True)
class Leftover:
    """A model or folder that is not needed.

    Attributes:
        what: What kind of thing it is.
        name: The id of the model, or the path of the folder.
        num_bytes: Its size.
        touched_s: When it was last changed, in seconds since 1970.
        delete: Deletes it, and returns whether it was deleted.
        stays: Why it may not be deleted; None if it may.
    """

    what: str
    name: str
    num_bytes: int
    touched_s: float
    delete: Callable[[], bool]
    stays: str | None = None


def clean(older_than_hours: float, *, deletes: bool) -> list[str]:
    """List what can be deleted, or delete it; return the report line by line."""
    with open_store() as store:
        leftovers = [*_models(store), *_unfinished()]
        old = [leftover for leftover in leftovers if time.time() - leftover.touched_s >= 3600 * older_than_hours]
        young = len(leftovers) - len(old)
        tried = [_delete(leftover) for leftover in old] if deletes else old
        if deletes:
            Unfinished(own_folder() / "unfinished").remove_empty_folders()
        deleted = [leftover for leftover in tried if leftover.stays is None]
        waits = f"; {young} younger than {older_than_hours:g} hours stay{'s' * (young == 1)}" if young else ""
        done = "deleted" if deletes else "would be deleted; nothing was deleted, apply=true deletes"
        total = f"{_mb_of(deleted)} {done}" if deleted else "nothing to delete"
        return [*_table(deleted), f"{total}{waits}", *_staying(tried)]


def _table(leftovers: list[Leftover]) -> list[str]:
    rows = [(leftover.what, leftover.name, _mb([leftover])) for leftover in leftovers]
    return table_lines(("what", "which", "MB"), rows) if rows else []


def _staying(leftovers: list[Leftover]) -> Iterator[str]:
    for reason in dict.fromkeys(leftover.stays for leftover in leftovers if leftover.stays):
        staying = [leftover for leftover in leftovers if leftover.stays == reason]
        names = ", ".join(leftover.name for leftover in staying)
        yield f"{_mb_of(staying)} stay{'s' * (len(staying) == 1)}, {reason}: {names}"


def _mb_of(leftovers: list[Leftover]) -> str:
    return f"{len(leftovers)} of {_mb(leftovers)} MB"


def _mb(leftovers: list[Leftover]) -> str:
    return f"{sum(leftover.num_bytes for leftover in leftovers) / 1e6:,.1f}"


def _delete(leftover: Leftover) -> Leftover:
    return leftover if leftover.stays or leftover.delete() else replace(leftover, stays=_NOT_DELETED)


def _models(store: Store) -> Iterator[Leftover]:
    """Find models that one of our steps has logged and no version of any registered model needs."""
    with store_errors("The logged models cannot be listed"):
        models = list(pages(lambda token: store.client.search_logged_models(store.experiment_ids, page_token=token)))
        steps = {
            run_id: _step(store, run_id) for run_id in {model.source_run_id for model in models if model.source_run_id}
        }
        ours = [model for model in models if steps.get(model.source_run_id) in _STEPS]
        # Read last, so that the version of a step that has ended is included.
        needed = needed_model_ids(store, ours)
        for model in ours:
            if model.model_id not in needed:
                yield _from_model(store, model, str(steps[model.source_run_id]))


def _from_model(store: Store, model: LoggedModel, step: str) -> Leftover:
    def delete() -> bool:
        delete_model(store, model.model_id)
        return True

    touched_s = model.last_updated_timestamp / 1000
    return Leftover(
        f"model of {step}", model.model_id, num_bytes(store, model), touched_s, delete, why_not_deletable(store, model)
    )


def _step(store: Store, run_id: str) -> str | None:
    """Return the step of a run; None if it is still running or unknown."""
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


def _measure(root: Path) -> tuple[int, float]:
    """Return the bytes of the files, and the last change in seconds since 1970; skip files deleted meanwhile."""
    size, touched_s = 0, 0.0
    for folder, _, names in os.walk(root):
        with suppress(OSError):
            touched_s = max(touched_s, Path(folder).stat().st_mtime)
        for name in names:
            with suppress(OSError):
                status = Path(folder, name).stat()
                size, touched_s = size + status.st_size, max(touched_s, status.st_mtime)
    return size, touched_s
