"""Sentence models in MLflow: logged with a signature, fetched by URI."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from sbert_prune.errors import TrackingError
from sbert_prune.models.lineage import FILE_NAME as LINEAGE
from sbert_prune.tracking.creation import ask_again, create_once, delete_once
from sbert_prune.tracking.delivery import FAULTS, first_line, short_requests
from sbert_prune.tracking.reach import is_unanswered
from sbert_prune.tracking.store import REQUEST_ID, pages, store_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mlflow.entities import LoggedModel
    from sentence_transformers import SentenceTransformer

    from sbert_prune.tracking.runs import Run
    from sbert_prune.tracking.store import Store

LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})")
"""The URI of a logged model; the name of a registered model may begin with `m-` as well."""

_DATA = "model.sentence_transformer"  # where MLflow's flavour keeps the sentence model inside a logged model
_NOT_IN_NAMES = r"[./:%\"']"  # a registered model may have dots, a logged model may not
_NEWEST = 100
_REQUIREMENTS = ("mlflow", "sentence-transformers", "transformers", "torch")


def log_model(run: Run, name: str, model: SentenceTransformer, folder: Path, params: Mapping[str, str]) -> str:
    """Log a saved sentence model; MLflow, Sentence Transformers and pyfunc can load it.

    Args:
        run: The run that made it.
        name: Of the logged model.
        model: The model loaded from `folder`.
        folder: Its files, `pruning.json` included, are stored unchanged.
        params: Of the logged model.

    Returns:
        The id ("m-...").

    Raises:
        TrackingError: The store did not accept it.
    """
    return _log(run, name, params, lambda logged: _write(run.store, logged, model, folder))


def log_without_bytes(run: Run, name: str, folder: Path, params: Mapping[str, str]) -> str:
    """Log a saved sentence model, but store only its `pruning.json`, and return the id. Raises TrackingError."""
    client = run.store.client
    return _log(run, name, params, lambda logged: client.log_model_artifact(logged.model_id, str(folder / LINEAGE)))


def _log(run: Run, name: str, params: Mapping[str, str], write: Callable[[LoggedModel], None]) -> str:
    client = run.store.client
    with store_errors("The model could not be logged"):
        logged = _create(run, re.sub(_NOT_IN_NAMES, "-", name), params)
        with deleting_on_error(lambda: delete_model(run.store, logged.model_id)):
            write(logged)
            ask_again(client, lambda: client.finalize_logged_model(logged.model_id, "READY"))
    return str(logged.model_id)


def _create(run: Run, name: str, params: Mapping[str, str]) -> LoggedModel:
    store, request_id = run.store, run.store.request_ids.next()
    logged = create_once(
        store.client,
        lambda: store.client.create_logged_model(
            store.experiment_id, name, run.run_id, tags={REQUEST_ID: request_id}, params=dict(params)
        ),
        lambda: sorted(
            store.client.search_logged_models(store.experiment_ids, f"tags.`{REQUEST_ID}` = '{request_id}'"),
            key=lambda model: model.creation_timestamp,
        ),
    )
    store.request_ids.answered.add(str(logged.model_id))
    return logged


def newest_pending_models(store: Store) -> list[LoggedModel]:
    """Return those of the newest logged models that were created, but not finished. Raises MLflow's errors.

    MLflow cannot search for the status in all databases.
    """
    return _pending(store.client.search_logged_models(store.experiment_ids, max_results=_NEWEST))


def pending_models_of(store: Store, command: str) -> list[LoggedModel]:
    """Return the logged models that a command's requests created, but it did not finish. Raises MLflow's errors."""
    query = f"tags.`{REQUEST_ID}` LIKE '{command}-%'"
    return _pending(
        pages(lambda token: store.client.search_logged_models(store.experiment_ids, query, page_token=token))
    )


def _pending(models: Iterable[LoggedModel]) -> list[LoggedModel]:
    return [model for model in models if str(model.status) == "PENDING"]


@contextmanager
def deleting_on_error(delete: Callable[[], object]) -> Iterator[None]:
    """Call `delete` if the block fails or a signal ends it; what the store does not let go is left to `close_orphans`.

    Half a model on a full disk would otherwise take the space that the next try needs.
    """
    try:
        yield
    except BaseException:
        with suppress(TrackingError, *FAULTS), short_requests():
            delete()
        raise


def put_back(store: Store, model_id: str, model: SentenceTransformer, folder: Path) -> None:
    """Store the deleted files of a logged model again; after an error there are none. Raises TrackingError."""
    with (
        store_errors(f"The files of {model_id} could not be stored again"),
        deleting_on_error(lambda: delete_files(store, model_id)),
    ):
        _write(store, store.client.get_logged_model(model_id), model, folder)


def delete_files(store: Store, model_id: str) -> None:
    """Delete the model files of a logged model, and nothing else. Raises TrackingError."""
    with store_errors(f"The files of {model_id} could not be deleted"):
        location = store.client.get_logged_model(model_id).artifact_location
        get_artifact_repository(location, tracking_uri=store.uri).delete_artifacts(_DATA)


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
            # MLflow would infer them by loading the model in another process, which takes ten seconds.
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
    """Return the URI of a version's ("models:/NAME/3" or "models:/NAME@alias") logged model; other URIs unchanged."""
    match = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@(.+))", uri)
    if match is None:
        return uri
    name, number, alias = match.groups()
    with store_errors(f"{uri} is not in the registry"):
        client = store.client
        version = client.get_model_version(name, number) if number else client.get_model_version_by_alias(name, alias)
    source = str(version.source)
    return source if LOGGED.fullmatch(source) else uri


_VERSIONS = "mlflow.modelVersions"
"""The tag by which MLflow's pages know a logged model as registered: a list of names and numbers in JSON."""


def link_version(store: Store, model_id: str, name: str, number: str) -> bool:
    """Record on a logged model that it is a version: MLflow's server does that, its client does not.

    Returns:
        Whether the version was missing.

    Raises:
        TrackingError: The store did not accept it.
    """
    with store_errors(f"The logged model {model_id} could not be shown as registered"):
        linked = _linked(store.client.get_logged_model(model_id))
        if {"name": name, "version": number} in linked:
            return False
        value = json.dumps([*linked, {"name": name, "version": number}])
        store.client.set_logged_model_tags(model_id, {_VERSIONS: value})
    return True


def _linked(model: LoggedModel) -> list[Any]:
    with suppress(ValueError):
        versions = json.loads(model.tags.get(_VERSIONS, "[]"))
        if isinstance(versions, list):
            return versions
    return []  # written by other means


def read_file(store: Store, model_id: str, name: str) -> bytes | None:
    """Return a file stored with a logged model; None if it does not exist or cannot be fetched."""
    with suppress(*FAULTS), TemporaryDirectory() as folder:
        location = store.client.get_logged_model(model_id).artifact_location
        repository = get_artifact_repository(location, tracking_uri=store.uri)
        return Path(repository.download_artifacts(name, folder)).read_bytes()
    return None


def add_file(store: Store, model_id: str, name: str, content: str) -> None:
    """Store a text file with a logged model. Raises TrackingError."""
    with store_errors(f"{name} could not be stored with the logged model {model_id}"), TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(content, encoding="utf-8")
        store.client.log_model_artifact(model_id, str(path))


def num_bytes(store: Store, model: LoggedModel) -> int:
    """Return the size of a logged model's files in bytes. Raises MLflow's errors if they cannot be listed."""
    repository = get_artifact_repository(model.artifact_location, tracking_uri=store.uri)

    def size(path: str | None) -> int:
        return sum(size(item.path) if item.is_dir else item.file_size or 0 for item in repository.list_artifacts(path))

    return size(None)


def delete_model(store: Store, model_id: str) -> None:
    """Delete a logged model, its files first, so that an interrupted deletion can be repeated. Raises TrackingError."""
    with store_errors(f"The logged model {model_id} could not be deleted"):
        location = store.client.get_logged_model(model_id).artifact_location
        get_artifact_repository(location, tracking_uri=store.uri).delete_artifacts()
        delete_once(lambda: store.client.delete_logged_model(model_id))
        if "://" not in location:
            with suppress(OSError):
                Path(location).parent.rmdir()  # MLflow leaves the parent folder


def has_bytes(store: Store, model_id: str) -> bool:
    """Return whether the model files of a logged model exist; True if that cannot be determined."""
    with suppress(*FAULTS):
        repository = get_artifact_repository(
            store.client.get_logged_model(model_id).artifact_location, tracking_uri=store.uri
        )
        return any(item.is_dir or item.path.endswith(".safetensors") for item in repository.list_artifacts(_DATA))
    return True


def fetch_model(uri: str) -> Path:
    """Fetch a `models:/` or `runs:/` URI to a local folder that SentenceTransformer can load. Raises TrackingError."""
    folder = fetch_files(uri)
    return folder / _DATA if (folder / _DATA).is_dir() else folder


def fetch_files(uri: str) -> Path:
    """Fetch all files of a model in MLflow to a local folder. Raises TrackingError."""
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except FAULTS as error:
        advice = (
            "The server failed, not the address: try again later, or ask its administrator."
            if is_unanswered(error)
            else "Give models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID or runs:/RUN/PATH."
        )
        raise TrackingError(f"{uri} cannot be fetched: {first_line(error)} {advice}") from error
