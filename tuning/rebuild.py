"""`search -P rebuild=VERSION`: the bytes of a version that a search has let go, made again from its recipe and put back."""

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
from sbert_prune.registry import version as seal
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import BYTES
from sbert_prune.tracking.logged_models import fetch_files, has_bytes, put_back
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import read_artifact
from tuning.endings import RECIPE
from tuning.messages import Rows, Task
from tuning.workers import WorkerPool, train_alone

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.steps.context import Context
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store


def rebuild_version(recipe: Recipe, number: str) -> list[str]:
    """Train what a version was once more, and give it its bytes back if they come out the same; returns lines for people.

    recipe: names the registered model.  Raises SearchError for a version that has its bytes or no recipe, RoundTripError for others' bytes.
    """
    silence_libraries()
    with open_context(recipe.device, recipe.precision) as context:
        name = recipe.registered_model
        version = registry.find_version(registry.existing_versions(context.store, name), name, number)
        if has_bytes(context.store, version.tags.get("model_id", "")):
            raise SearchError(f"rebuild={number}: {version.uri} has its bytes. There is nothing to make again.")
        again = _recipe_of(context.store, version)
        echo(f"rebuild   {version.uri}: layers {again.layers}, recipe {again.digest}")
        tags = {"step": "rebuild", "version": number, "kept_layers": version.tags.get("kept_layers", ""), "seed": str(again.seed)}
        with open_run(context.store, f"rebuild {name} version {number}", tags) as run, WorkerPool() as nursery:
            folder = context.workspace / "rebuilt"
            task = Task(again, *_given(context.store, again, version), folder, version.run_id, int(version.tags.get("threads", "1")))
            trained = train_alone(nursery, task)
            run.log_metrics(trained.metrics)
            return _put_back(context, version, folder)


def _recipe_of(store: Store, version: Version) -> Recipe:
    kept = read_artifact(store, version.run_id, RECIPE)
    if kept is None:
        raise SearchError(
            f"rebuild={version.version}: {version.uri} was not made by a search, or its run is gone, so nobody knows its recipe. "
            "Make it with mlflow run . -e full"
        )
    return Recipe.model_validate(json.loads(kept))


def _given(store: Store, recipe: Recipe, version: Version) -> tuple[SavedModel, Rows]:
    """The base and rows of a version. Raises SearchError where its teacher is gone."""
    inputs = load_inputs(recipe)
    teacher = inputs.teacher
    if teacher is None and recipe.has_teacher:
        found = registry.find_reference(store, version.name, version.tags.get("reference_key", ""))
        if found is None:
            raise SearchError(f"rebuild={version.version}: the reference that taught it is not there any more.")
        teacher = find_model(found.uri)
    return inputs.pruning.base, Rows(inputs.texts, inputs.sentences, teacher)


def _put_back(context: Context, version: Version, folder: Path) -> list[str]:
    source = SavedModel(str(folder), None, inspect_checkpoint(folder))
    known, found = version.tags.get("model_sha256", ""), source.checkpoint.sha256()
    if known != found:
        raise RoundTripError(
            f"{version.uri} came out differently (sha256 {found[:12]}, it was {known[:12]}): its data, the machine or a library have "
            "changed. Nothing was put back."
        )
    model_id = version.tags["model_id"]
    put_back(context.store, model_id, load_saved(source.checkpoint), folder)
    kept = {BYTES: "kept", seal.FILES: seal.digest_of_files(fetch_files(f"models:/{model_id}"))}
    registry.update(context.store, version, {}, kept)
    return [
        f"{version.uri} has its bytes again: sha256 {found[:12]}, as it was",
        f'load      mlflow.sentence_transformers.load_model("{version.uri}")',
    ]
