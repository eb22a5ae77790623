"""Sentence models in MLflow: logged with a signature, fetched by URI."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import mlflow
import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from sbert_prune.errors import TrackingError
from sbert_prune.models.lineage import FILE_NAME as LINEAGE
from sbert_prune.tracking.delivery import FAULTS, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities import LoggedModel
    from sentence_transformers import SentenceTransformer

    from sbert_prune.tracking.runs import Run
    from sbert_prune.tracking.store import Store

LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})")
"""The URI of a logged model; `m-...` may also begin a registered model's name."""

_DATA = "model.sentence_transformer"  # where MLflow's flavour keeps the sentence model inside a logged model
_NOT_IN_NAMES = r"[./:%\"']"  # a registered model may have dots, a logged model may not
_REQUIREMENTS = ("mlflow", "sentence-transformers", "transformers", "torch")


def log_model(run: Run, name: str, model: SentenceTransformer, folder: Path, params: Mapping[str, str]) -> str:
    """Log a saved sentence model and return its id ("m-..."); MLflow, Sentence Transformers and pyfunc all load it.

    model: what was loaded from `folder`. The folder's own bytes are stored, `pruning.json` among them.
    """
    client = run.store.client
    try:
        logged = client.create_logged_model(
            run.store.experiment_id, re.sub(_NOT_IN_NAMES, "-", name), run.run_id, params=dict(params)
        )
        _write(run.store, logged, model, folder)
        client.finalize_logged_model(logged.model_id, "READY")
    except FAULTS as error:
        raise TrackingError(f"The model could not be logged: {first_line(error)}") from error
    return str(logged.model_id)


def log_without_bytes(run: Run, name: str, folder: Path, params: Mapping[str, str]) -> str:
    """Log a saved sentence model of which its `pruning.json` alone is kept, and return its id. Raises TrackingError."""
    client = run.store.client
    try:
        logged = client.create_logged_model(
            run.store.experiment_id, re.sub(_NOT_IN_NAMES, "-", name), run.run_id, params=dict(params)
        )
        client.log_model_artifact(logged.model_id, str(folder / LINEAGE))
        client.finalize_logged_model(logged.model_id, "READY")
    except FAULTS as error:
        raise TrackingError(f"The model could not be logged: {first_line(error)}") from error
    return str(logged.model_id)


def put_back(store: Store, model_id: str, model: SentenceTransformer, folder: Path) -> None:
    """Give a logged model the bytes that it had. Raises TrackingError."""
    try:
        _write(store, store.client.get_logged_model(model_id), model, folder)
    except FAULTS as error:
        raise TrackingError(f"The bytes of {model_id} could not be put back: {first_line(error)}") from error


def delete_files(store: Store, model_id: str) -> None:
    """Delete the bytes of a logged model, and nothing else of it. Raises TrackingError."""
    try:
        location = store.client.get_logged_model(model_id).artifact_location
        get_artifact_repository(location, tracking_uri=store.uri).delete_artifacts(_DATA)
    except FAULTS as error:
        raise TrackingError(f"The bytes of {model_id} could not be deleted: {first_line(error)}") from error


def _write(store: Store, logged: LoggedModel, model: SentenceTransformer, folder: Path) -> None:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "model"
        mlflow.sentence_transformers.save_model(
            model,
            str(path),
            mlflow_model=Model(
                artifact_path=logged.artifact_location, run_id=logged.source_run_id, model_id=logged.model_id
            ),
            signature=_signature(int(model.get_embedding_dimension())),
            # Given here because inferring them imports the model in a process of its own, for ten seconds.
            pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in _REQUIREMENTS],
        )
        shutil.rmtree(path / _DATA)
        shutil.copytree(folder, path / _DATA)
        store.client.log_model_artifacts(logged.model_id, str(path))


def _signature(dimension: int) -> ModelSignature:
    return ModelSignature(
        Schema([ColSpec(DataType.string)]), Schema([TensorSpec(np.dtype(np.float32), (-1, dimension))])
    )


def logged_model_uri(store: Store, uri: str) -> str:
    """The URI of the logged model behind a version ("models:/NAME/3" or "models:/NAME@alias"); other URIs as they are."""
    match = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@(.+))", uri)
    if match is None:
        return uri
    name, number, alias = match.groups()
    try:
        client = store.client
        version = client.get_model_version(name, number) if number else client.get_model_version_by_alias(name, alias)
    except FAULTS as error:
        raise TrackingError(f"{uri} is not in the registry: {first_line(error)}") from error
    source = str(version.source)
    return source if LOGGED.fullmatch(source) else uri


def read_file(store: Store, model_id: str, name: str) -> bytes | None:
    """A file beside a logged model; None where it is not there, or cannot be fetched."""
    with suppress(*FAULTS), TemporaryDirectory() as folder:
        location = store.client.get_logged_model(model_id).artifact_location
        repository = get_artifact_repository(location, tracking_uri=store.uri)
        return Path(repository.download_artifacts(name, folder)).read_bytes()
    return None


def add_file(store: Store, model_id: str, name: str, content: str) -> None:
    """Put a text file beside a logged model. Raises TrackingError."""
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_text(content, encoding="utf-8")
            store.client.log_model_artifact(model_id, str(path))
    except FAULTS as error:
        raise TrackingError(
            f"{name} could not be put beside the logged model {model_id}: {first_line(error)}"
        ) from error


def num_bytes(store: Store, model: LoggedModel) -> int:
    """Bytes of a logged model's files. Raises what MLflow does where they cannot be listed."""
    repository = get_artifact_repository(model.artifact_location, tracking_uri=store.uri)

    def of(path: str | None) -> int:
        return sum(of(item.path) if item.is_dir else item.file_size or 0 for item in repository.list_artifacts(path))

    return of(None)


def delete_model(store: Store, model_id: str) -> None:
    """Delete a logged model, its bytes first: what breaks off in between is found again. Raises TrackingError."""
    try:
        location = store.client.get_logged_model(model_id).artifact_location
        get_artifact_repository(location, tracking_uri=store.uri).delete_artifacts()
        store.client.delete_logged_model(model_id)
        if "://" not in location:
            with suppress(OSError):
                Path(location).parent.rmdir()  # MLflow leaves the folder around it
    except FAULTS as error:
        raise TrackingError(f"The logged model {model_id} could not be deleted: {first_line(error)}") from error


def has_bytes(store: Store, model_id: str) -> bool:
    """Whether the files of a logged model are there; True where that cannot be asked."""
    with suppress(*FAULTS):
        repository = get_artifact_repository(
            store.client.get_logged_model(model_id).artifact_location, tracking_uri=store.uri
        )
        return any(item.is_dir or item.path.endswith(".safetensors") for item in repository.list_artifacts(_DATA))
    return True


def fetch_model(uri: str) -> Path:
    """Bring a `models:/` or `runs:/` URI to a local folder that SentenceTransformer can load. Raises TrackingError."""
    folder = fetch_files(uri)
    return folder / _DATA if (folder / _DATA).is_dir() else folder


def fetch_files(uri: str) -> Path:
    """Bring all that MLflow keeps of a model to a local folder. Raises TrackingError."""
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except FAULTS as error:
        raise TrackingError(
            f"{uri} cannot be fetched: {first_line(error)} Give models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID or runs:/RUN/PATH."
        ) from error
