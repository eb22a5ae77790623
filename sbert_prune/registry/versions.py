"""MLflow's model registry: versions that carry their lineage, aliases and stages."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from sbert_prune.errors import TrackingError
from sbert_prune.metrics import STS_TEST
from sbert_prune.registry.version import (
    REFERENCE,
    TAGS_CHECKSUM,
    Version,
    caption,
    changed_tags,
    digest_of_tags,
    pack_tags,
    unpack_tags,
)
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.creation import create_once, delete_once, is_server
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.logged_models import LOGGED, link_version
from sbert_prune.tracking.store import REQUEST_ID, TAG, pages, store_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow import MlflowClient

    from sbert_prune.tracking.store import Store

STAGE_ALIASES = {"Production": "champion", "Staging": "challenger"}
"""The stages that a version can be promoted to, and the alias that moves with each."""

SHOWN = 100
"""Charts and descriptions show at most this many versions, the newest ones."""


def register(store: Store, draft: Version, model_id: str) -> Version:
    """Register a draft as a version of a logged model, and return it with its number.

    Lineage and metrics become tags, so that they outlive the run. Raises TrackingError.
    """
    request_id, request_tag = store.request_ids.next(), REQUEST_ID.removeprefix(TAG)
    numbered = replace(draft, tags={**draft.tags, request_tag: request_id})
    values, client = pack_tags(_as_tags(numbered)), store.client

    def create() -> str:
        created = client.create_model_version(
            draft.name, f"models:/{model_id}", draft.run_id, tags=values, model_id=model_id, description=caption(draft)
        )
        return str(created.version)

    def find() -> list[str]:
        query = f"name={_quoted(draft.name)} and run_id={_quoted(draft.run_id)}"
        entries = map(_parse, pages(lambda token: client.search_model_versions(query, page_token=token)))
        return sorted((entry.version for entry in entries if entry.tags.get(request_tag) == request_id), key=int)

    with store_errors(f"No version of {draft.name} could be registered"):
        _ensure_model(client, draft.name)
        number = create_once(client, create, find)
        numbers = (find() if is_server(store.uri) else []) or [number]
        _discard_twins(client, draft.name, numbers, model_id)
    version = replace(numbered, version=numbers[0])
    link(store, version)
    return version


def _discard_twins(client: MlflowClient, name: str, numbers: list[str], model_id: str) -> None:
    """Delete all but the first of the versions that one request made because it was served twice."""
    for number in numbers[1:]:
        with store_errors(f"models:/{name}/{number} is version {numbers[0]}, made twice by the server. Delete it, as"):
            delete_once(partial(client.delete_model_version, name, number))
    if numbers[1:]:
        of_others = [
            entry
            for entry in json.loads(client.get_logged_model(model_id).tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
            if (entry["name"], str(entry["version"])) not in {(name, number) for number in numbers[1:]}
        ]
        client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(of_others)})


def link(store: Store, version: Version) -> bool:
    """Show the logged model of a version as registered in MLflow's pages; return whether it was not.

    A server has done so; where the store fails, `verify` with repair=true does so later.
    """
    model_id = version.tags.get("model_id")
    if model_id is None or store.uri.startswith("http"):
        return False
    try:
        return link_version(store, model_id, version.name, version.version)
    except TrackingError:
        return False


def _as_tags(version: Version) -> dict[str, str]:
    values = {key: _text(value) for key, value in version.metrics.items()}
    return (
        values
        | {TAG + key: value for key, value in version.tags.items()}
        | {TAG + TAGS_CHECKSUM: tags_checksum(version)}
    )


def tags_checksum(version: Version) -> str:
    """Return the checksum of a version's tags and metrics, which differs from the stored one after a change."""
    read_back = {key: float(_text(value)) for key, value in version.metrics.items()}  # tags hold six digits
    return digest_of_tags(version.tags, {key: _text(value) for key, value in read_back.items()})


def _ensure_model(client: MlflowClient, name: str) -> None:
    description = "Variants of one recipe, made by sbert-prune."
    try:
        create_once(
            client,
            lambda: client.create_registered_model(name, description=description),
            lambda: [client.get_registered_model(name)],
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def check_may_register(store: Store, name: str) -> None:
    """Check, before training, that the user may change a registered model, by writing its description again.

    MLflow keeps prompts in the same table, and would add a version to a prompt of this name. Raises TrackingError.
    """
    try:
        description = store.client.get_registered_model(name).description
    except FAULTS:  # it does not exist yet; or the store fails, which the next step reports
        prompt = None
        with suppress(*FAULTS):
            prompt = store.client.get_prompt(name)
        if prompt is not None:
            raise TrackingError(
                f"registered_model={name} is a prompt in MLflow's registry, where names are given once. "
                "Give another name: registered_model=NAME"
            ) from None
        return
    with store_errors(f"No version of {name} could be registered"):
        store.client.update_registered_model(name, description)


def versions(
    store: Store, name: str, *, tagged: Mapping[str, str] | None = None, newest: int | None = None
) -> list[Version]:
    """Return the versions of a registered model, oldest first; an empty list if there is no such model.

    Args:
        store: The tracking store.
        name: The registered model.
        tagged: Return only versions whose tags of ours have these values.
        newest: Return at most this many, the newest. A thousand take the store a second, so ask for few.

    Raises:
        TrackingError: The store does not answer.
    """
    conditions = {"name": name, **{f"tags.`{TAG}{tag}`": value for tag, value in (tagged or {}).items()}}
    query = " and ".join(f"{key}={_quoted(value)}" for key, value in conditions.items())

    def fetch_page(token: str | None) -> Any:
        return store.client.search_model_versions(
            query, max_results=newest or 1000, order_by=["version_number DESC"], page_token=token
        )

    with store_errors(f"The versions of {name} cannot be listed"), _no_garbage_collection():
        entries = list(pages(fetch_page) if newest is None else fetch_page(None))
    return sorted((_parse(entry) for entry in entries), key=lambda version: int(version.version))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: it takes half of a long listing, which makes a hundred thousand small objects."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def existing_versions(store: Store, name: str, *, newest: int | None = None) -> list[Version]:
    """Return the versions of a registered model, or the newest few, oldest first. Raises TrackingError without any."""
    existing = versions(store, name, newest=newest)
    if existing:
        return existing
    try:
        store.client.get_registered_model(name)
    except FAULTS as error:
        raise TrackingError(
            f"registered_model={name}: there is no such registered model in this store. "
            f"Make one: {command_line('full')}"
        ) from error
    raise TrackingError(f"registered_model={name}: it has no versions (any more). Make one: {command_line('full')}")


def _quoted(value: str) -> str:
    """Quote a value for MLflow's filters, which have no escapes: with the quote that it does not contain."""
    return f'"{value}"' if "'" in value else f"'{value}'"


def _parse(entry: Any) -> Version:
    raw = unpack_tags(entry.tags)
    ours = {key.removeprefix(TAG): value for key, value in raw.items() if key.startswith(TAG)}
    metrics = {key: number for key, value in raw.items() if "/" in key and (number := _number(value)) is not None}
    if ours and (logged := LOGGED.fullmatch(str(entry.source))):
        ours["model_id"] = logged[1]  # the tag may be wrong
    created = datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC)
    return Version(
        entry.name, str(entry.version), entry.run_id or "", entry.current_stage or "None", ours, metrics, created
    )


def _text(number: float) -> str:
    return f"{number:.0f}" if number.is_integer() else f"{number:.6g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def look_up(store: Store, name: str, number: str) -> Version | None:
    """Return a version by its number; None if it was deleted. Raises TrackingError if the store does not answer."""
    try:
        return _parse(store.client.get_model_version(name, number))
    except FAULTS as error:
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise TrackingError(f"models:/{name}/{number} cannot be looked up: {first_line(error)}") from error


def find_tagged(store: Store, name: str, tag: str, value: str) -> Version | None:
    """Return the newest version on which one of our tags has this value; None if there is none."""
    return next(iter(versions(store, name, tagged={tag: value}, newest=1)), None)


def versions_of(store: Store, model_id: str) -> list[Version]:
    """Return the versions of a logged model, in all registered models. Raises TrackingError."""
    query = f"source_path = {_quoted(f'models:/{model_id}')}"
    with store_errors(f"The versions of {model_id} cannot be listed"):
        entries = pages(lambda token: store.client.search_model_versions(query, page_token=token))
        return [_parse(entry) for entry in entries]


def update(store: Store, version: Version, metrics: Mapping[str, float], tags: Mapping[str, str]) -> Version:
    """Set further metrics and tags of a version, and its checksum if that was correct before. Raises TrackingError."""
    changed = replace(version, tags={**version.tags, **tags}, metrics={**version.metrics, **metrics})
    is_unchanged = version.tags.get(TAGS_CHECKSUM) == tags_checksum(version)
    checksum = {TAGS_CHECKSUM: tags_checksum(changed)} if is_unchanged else {}
    return restore(store, changed, metrics, {**tags, **checksum})


def restore(store: Store, version: Version, metrics: Mapping[str, float], tags: Mapping[str, str]) -> Version:
    """Set metrics and tags of a version to what its checksum was computed from. Raises TrackingError."""
    values = {TAG + key: value for key, value in tags.items()} | {key: _text(value) for key, value in metrics.items()}
    changed = replace(version, tags={**version.tags, **tags}, metrics={**version.metrics, **metrics})
    with store_errors(f"{version.uri} could not be changed"):
        stored = store.client.get_model_version(version.name, version.version).tags
        for key, value in changed_tags(stored, values).items():
            store.client.set_model_version_tag(version.name, version.version, key, value)
        store.client.update_model_version(version.name, version.version, caption(changed))
    return changed


def find_reference(store: Store, name: str, reference_key: str) -> Version | None:
    """Return the newest reference of the same base, data and recipe with a positive test score; None if none exists."""
    for version in reversed(versions(store, name, tagged={"role": REFERENCE, "reference_key": reference_key})):
        score = version.metrics.get(STS_TEST, math.nan)
        if math.isfinite(score) and score > 0:
            return version
    return None


def find_version(existing: Sequence[Version], name: str, number: str) -> Version:
    """Return a version of a registered model by its number. Raises TrackingError, which lists the existing numbers."""
    for version in existing:
        if version.version == number:
            return version
    numbers = ", ".join(version.version for version in existing)
    raise TrackingError(f"version={number}: {name} has no such version. It has {numbers}.")


def alias_holder(store: Store, name: str, alias: str) -> Version | None:
    """Return the version that an alias names; None if it names none. Raises MLflow's errors if the store fails."""
    try:
        return _parse(store.client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        # A server with users reports a registered model that does not exist this way.
        if error.error_code == "PERMISSION_DENIED" and not versions(store, name, newest=1):
            return None
        raise
