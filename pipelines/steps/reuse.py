"""What was done before: the result of a step with the same key is taken, not made again."""

from __future__ import annotations

import shutil
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
"""The tag that holds the URI of the model that a step has made."""


@dataclass(frozen=True)
class Done:
    """A step that was done before. run_id: of the run that did it."""

    run_id: str
    model: SavedModel


def find_done(context: Context, key: str) -> Done | None:
    """The result of a step with this key: what a killed command has left here, or what a finished run has logged; None where neither is."""
    if context.force:
        context.unfinished.forget(key)
        return None
    return _left_here(context, key) or _logged(context, key)


def take_over(context: Context, recipe: Recipe, step: str, done: Done) -> SavedModel:
    """Record and say that a step was not done again."""
    tags = {"reused_from": done.run_id}
    with context.step(step, tags, recipe, reads=()) as run:
        echo(f"step {step}: the same was done by run {done.run_id}, its result is reused (force=true repeats it)")
        if done.model.uri.startswith("models:/"):
            run.log_output(done.model.uri.removeprefix("models:/"))
    return done.model


def _left_here(context: Context, key: str) -> Done | None:
    found = context.unfinished.finished(key)
    if found is None:
        return None
    folder, run_id = found
    try:
        return Done(run_id, SavedModel(str(folder), None, inspect_checkpoint(folder)))
    except (EncoderError, OSError):
        context.unfinished.forget(key)  # damaged: made again
        return None


def _logged(context: Context, key: str) -> Done | None:
    try:
        runs = finished_runs(context.store, "step_key", key)
    except FAULTS:
        return None  # a store that does not answer costs the reuse; opening the step's run says so
    for run in runs:
        uri = run.data.tags.get(TAG + OUTPUT)
        try:
            if uri is not None:
                return Done(run.info.run_id, find_model(uri))
        except SbertPruneError:
            continue  # deleted since
    return None


def result_folder(context: Context, key: str, run_id: str) -> Path:
    """Where a step's result goes: where the same command finds it after a kill, or, where that cannot be, into the workspace."""
    place = context.unfinished.result(key)
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)
    return place or context.workspace / run_id
