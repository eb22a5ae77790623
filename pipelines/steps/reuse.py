"""Reuse of earlier results: a step whose key is unchanged is not run again."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.inputs.base import find_model
from sbert_prune.errors import EncoderError, SbertPruneError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.tracking.delivery import FAULTS
from sbert_prune.tracking.store import TAG, finished_runs

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe

OUTPUT = "output"
"""The tag with the URI of the model that a step logged."""


@dataclass(frozen=True)
class FinishedStep:
    """An earlier step with the same key.

    Attributes:
        run_id: The run of that step.
        model: Its result.
    """

    run_id: str
    model: SavedModel


def find_finished_step(context: Context, key: str) -> FinishedStep | None:
    """Return the step with this key that a killed command finished here, or that a run logged; None without one."""
    if context.force:
        context.unfinished.forget(key)
        return None
    return _find_local(context, key) or _find_logged(context, key)


def look_up_step(context: Context, key: str) -> FinishedStep | None:
    """Return what `find_finished_step` would, and change nothing: for a plan."""
    if context.force:
        return None
    stored = context.unfinished.peek(key)
    with suppress(EncoderError, OSError):  # damaged: the command would run the step again
        return _load(*stored) if stored is not None else _find_logged(context, key)
    return _find_logged(context, key)


def record_reuse(context: Context, recipe: Recipe, step: str, finished: FinishedStep) -> SavedModel:
    """Record and print that a step's earlier result is reused; return the result."""
    tags = {"reused_from": finished.run_id}
    with context.step(step, tags, recipe, reads=()) as run:
        echo(f"step {step}: the same was done by run {finished.run_id}, its result is reused (force=true repeats it)")
        run.describe(f"The same was done by run {finished.run_id}: its result is reused.")
        if finished.model.uri.startswith("models:/"):
            run.log_output(finished.model.uri.removeprefix("models:/"))
    return finished.model


def _find_local(context: Context, key: str) -> FinishedStep | None:
    result = context.unfinished.finished(key)
    if result is None:
        return None
    try:
        return _load(*result)
    except (EncoderError, OSError):
        context.unfinished.forget(key)  # damaged, so the step runs again
        return None


def _load(folder: Path, run_id: str) -> FinishedStep:
    return FinishedStep(run_id, SavedModel(str(folder), None, inspect_checkpoint(folder)))


def _find_logged(context: Context, key: str) -> FinishedStep | None:
    try:
        runs = finished_runs(context.store, "step_key", key)
    except FAULTS:
        return None  # without the store nothing is reused; opening the step's run reports the error
    for run in runs:
        uri = run.data.tags.get(TAG + OUTPUT)
        try:
            if uri is not None:
                return FinishedStep(run.info.run_id, find_model(uri))
        except SbertPruneError:
            continue  # deleted since
    return None


def result_folder(context: Context, key: str, run_id: str) -> Path:
    """Return the path for a step's result, which survives a kill if possible; else it is in the workspace."""
    folder = context.unfinished.result(key)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return folder or context.workspace / run_id
