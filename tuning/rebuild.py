"""`search -P rebuild=VERSION`: train a version again whose bytes a search has deleted, and put them back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipelines.console import echo, silence_libraries
from pipelines.inputs.base import find_model
from pipelines.inputs.load import load_inputs
from pipelines.steps.context import open_context
from sbert_prune.errors import RoundTripError, SearchError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sentence import load_saved
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import BYTES, FILES_CHECKSUM, digest_of_files, figures
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.logged_models import fetch_files, has_bytes, put_back
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import read_artifact
from tuning.endings import RECIPE
from tuning.messages import Task, TrainingRows
from tuning.workers import WorkerPool, train_to_end

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.steps.context import Context
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store


def rebuild_version(recipe: Recipe, number: str) -> list[str]:
    """Train a version once more and put its bytes back if they are the same; return lines for the user.

    Args:
        recipe: Names the registered model.
        number: Number of the version.

    Raises:
        SearchError: The version has its bytes, or no recipe.
        RoundTripError: The bytes differ.
    """
    silence_libraries()
    with open_context(recipe) as context:
        name = recipe.registered_model
        version = registry.find_version(registry.existing_versions(context.store, name), name, number)
        # Files of a version that is tagged to have none are what a killed rebuild put back: maybe not all of them.
        if not version.has_no_files and has_bytes(context.store, version.tags.get("model_id", "")):
            raise SearchError(f"rebuild={number}: {version.uri} has its bytes. There is nothing to make again.")
        stored = _recipe_of(context.store, version)
        echo(f"rebuild   {version.uri}: layers {stored.layers}, recipe {stored.digest}")
        tags = {
            "step": "rebuild",
            "version": number,
            "kept_layers": version.tags.get("kept_layers", ""),
            "seed": str(stored.seed),
        }
        with open_run(context.store, f"rebuild {name} version {number}", tags) as run, WorkerPool() as pool:
            folder = context.workspace / "rebuilt"
            base, rows = _inputs_of(context.store, stored, version)
            task = Task(stored, base, rows, folder, version.run_id, int(version.tags.get("threads", "1")))
            trained = train_to_end(pool, task)
            run.log_metrics(trained.metrics)
            run.describe(f"{version.uri} trained again: {figures(trained.metrics)}")
            return _put_back(context, version, folder)


def _recipe_of(store: Store, version: Version) -> Recipe:
    text = read_artifact(store, version.run_id, RECIPE)
    if text is None:
        raise SearchError(
            f"rebuild={version.version}: {version.uri} was not made by a search, or its run is gone, so its recipe is "
            f"unknown. Make it with {command_line('full')}"
        )
    return Recipe.model_validate(json.loads(text))


def _inputs_of(store: Store, recipe: Recipe, version: Version) -> tuple[SavedModel, TrainingRows]:
    """Return the base and rows of a version. Raises SearchError where its teacher is gone."""
    inputs = load_inputs(recipe)
    teacher = inputs.teacher
    if teacher is None and recipe.has_teacher:
        reference = registry.find_reference(store, version.name, version.tags.get("reference_key", ""))
        if reference is None:
            raise SearchError(f"rebuild={version.version}: the reference that taught it is not there any more.")
        teacher = find_model(reference.uri)
    return inputs.pruning.base, TrainingRows(inputs.texts, teacher)


def _put_back(context: Context, version: Version, folder: Path) -> list[str]:
    source = SavedModel(str(folder), None, inspect_checkpoint(folder))
    expected, actual = version.tags.get("model_sha256", ""), source.checkpoint.sha256()
    if expected != actual:
        raise RoundTripError(
            f"{version.uri} came out differently (sha256 {actual[:12]}, it was {expected[:12]}): its data, the machine "
            "or a library have changed. Nothing was put back."
        )
    model_id = version.tags["model_id"]
    put_back(context.store, model_id, load_saved(source.checkpoint), folder)
    files = fetch_files(f"models:/{model_id}")
    tags = {BYTES: "kept", FILES_CHECKSUM: digest_of_files(files)}
    registry.update(context.store, version, {}, tags)
    return [
        f"{version.uri} has its bytes again: sha256 {actual[:12]}, as it was",
        f'load      mlflow.sentence_transformers.load_model("{version.uri}")',
    ]
