"""MLflow's model registry: versions that carry their lineage, aliases and stages."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException

from sbert_prune.errors import TrackingError
from sbert_prune.metrics import STS_TEST
from sbert_prune.registry.version import REFERENCE, TAGS_CHECKSUM, Version, caption, digest_of_tags
from sbert_prune.tracking.delivery import FAULTS, first_line
from sbert_prune.tracking.logged_models import LOGGED
from sbert_prune.tracking.store import TAG, pages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow import MlflowClient

    from sbert_prune.tracking.store import Store

STAGE_ALIASES = {"Production": "champion", "Staging": "challenger"}
"""The stages that a version can be promoted to, and the alias that moves along."""


SHOWN = 100
"""Pictures and descriptions show no more versions than the newest of these."""


def register(store: Store, draft: Version, model_id: str) -> Version:
    """Make a draft (its number still empty) a version of a logged model.

    Lineage and metrics become tags, so that they outlive the run.
    """
    values = _as_tags(draft)
    try:
        _ensure_model(store.client, draft.name)
        made = store.client.create_model_version(
            draft.name, f"models:/{model_id}", draft.run_id, tags=values, model_id=model_id, description=caption(draft)
        )
    except FAULTS as error:
        raise TrackingError(f"No version of {draft.name} could be registered: {first_line(error)}") from error
    return replace(draft, version=str(made.version))


def _as_tags(version: Version) -> dict[str, str]:
    """All that a version says of itself, sealed."""
    values = {key: _text(value) for key, value in version.metrics.items()}
    return (
        values | {TAG + key: value for key, value in version.tags.items()} | {TAG + TAGS_CHECKSUM: tags_checksum(version)}
    )


def tags_checksum(version: Version) -> str:
    """The digest of what a version says of itself: another one than its tag holds tells that it was changed by other means."""
    read_back = {key: float(_text(value)) for key, value in version.metrics.items()}  # tags hold six digits
    return digest_of_tags(version.tags, {key: _text(value) for key, value in read_back.items()})


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name, description="Variants of one recipe, made by sbert-prune.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def check_may_register(store: Store, name: str) -> None:
    """Ask a registered model to stay as it is: who may not change it is told before training. Raises TrackingError."""
    try:
        description = store.client.get_registered_model(name).description
    except FAULTS:
        return  # none yet; or the store fails, which the next step says
    try:
        store.client.update_registered_model(name, description)
    except FAULTS as error:
        raise TrackingError(f"No version of {name} could be registered: {first_line(error)}") from error


def versions(
    store: Store, name: str, *, tagged: Mapping[str, str] | None = None, newest: int | None = None
) -> list[Version]:
    """The versions of a registered model, oldest first; none where there is no such model.

    tagged: those alone that carry our tags with these values.  newest: so many at most. A thousand of them take the store three seconds,
    so ask for no more than is wanted.
    """
    wanted = {"name": name, **{f"tags.`{TAG}{tag}`": value for tag, value in (tagged or {}).items()}}
    query = " and ".join(f"{key}={_quoted(value)}" for key, value in wanted.items())

    def ask(token: str | None) -> Any:
        return store.client.search_model_versions(
            query, max_results=newest or 1000, order_by=["version_number DESC"], page_token=token
        )

    try:
        found = list(pages(ask) if newest is None else ask(None))
    except FAULTS as error:
        raise TrackingError(f"The versions of {name} cannot be listed: {first_line(error)}") from error
    return sorted((_read(entry) for entry in found), key=lambda version: int(version.version))


def existing_versions(store: Store, name: str, *, newest: int | None = None) -> list[Version]:
    """The versions of a registered model, or so many of them, oldest first. Raises TrackingError where there is none."""
    found = versions(store, name, newest=newest)
    if found:
        return found
    try:
        store.client.get_registered_model(name)
    except FAULTS as error:
        raise TrackingError(
            f"registered_model={name}: there is no such registered model in this store. Make one: mlflow run . -e full"
        ) from error
    raise TrackingError(f"registered_model={name}: it has no versions (any more). Make one: mlflow run . -e full")


def _quoted(value: str) -> str:
    """MLflow's filters know no escape: a value is quoted by whichever quote it does not hold."""
    return f'"{value}"' if "'" in value else f"'{value}'"


def _read(entry: object) -> Version:
    raw: dict[str, str] = dict(entry.tags)  # type: ignore[attr-defined]  # mlflow's entities are not typed
    ours = {key.removeprefix(TAG): value for key, value in raw.items() if key.startswith(TAG)}
    metrics = {key: number for key, value in raw.items() if "/" in key and (number := _number(value)) is not None}
    if ours and (logged := LOGGED.fullmatch(str(entry.source))):  # type: ignore[attr-defined]
        ours["model_id"] = logged[1]  # whatever a tag says
    created = datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC)  # type: ignore[attr-defined]
    return Version(
        entry.name, str(entry.version), entry.run_id or "", entry.current_stage or "None", ours, metrics, created
    )  # type: ignore[attr-defined]


def _text(number: float) -> str:
    return f"{number:.0f}" if number.is_integer() else f"{number:.6g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def look_up(store: Store, name: str, number: str) -> Version | None:
    """One version by its number; None where it was deleted. Raises TrackingError when the store does not answer."""
    try:
        return _read(store.client.get_model_version(name, number))
    except FAULTS as error:
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise TrackingError(f"models:/{name}/{number} cannot be looked up: {first_line(error)}") from error


def find_tagged(store: Store, name: str, tag: str, value: str) -> Version | None:
    """The newest version that carries one of our tags with this value."""
    return next(iter(versions(store, name, tagged={tag: value}, newest=1)), None)


def update(store: Store, version: Version, metrics: Mapping[str, float], tags: Mapping[str, str]) -> Version:
    """Put further metrics and tags over a version's, and seal it anew if its seal was whole. Raises TrackingError."""
    changed = replace(version, tags={**version.tags, **tags}, metrics={**version.metrics, **metrics})
    sealed = {TAGS_CHECKSUM: tags_checksum(changed)} if version.tags.get(TAGS_CHECKSUM) == tags_checksum(version) else {}
    return restore(store, changed, metrics, {**tags, **sealed})


def restore(store: Store, version: Version, metrics: Mapping[str, float], tags: Mapping[str, str]) -> Version:
    """Put back what a version's seal was made of: it fits again. Raises TrackingError."""
    values = {TAG + key: value for key, value in tags.items()} | {key: _text(value) for key, value in metrics.items()}
    changed = replace(version, tags={**version.tags, **tags}, metrics={**version.metrics, **metrics})
    try:
        for key, value in values.items():
            store.client.set_model_version_tag(version.name, version.version, key, value)
        store.client.update_model_version(version.name, version.version, caption(changed))
    except FAULTS as error:
        raise TrackingError(f"{version.uri} could not be changed: {first_line(error)}") from error
    return changed


def find_reference(store: Store, name: str, reference_key: str) -> Version | None:
    """The newest reference that was made from the same base, data and recipe, with a score that can be divided by."""
    for version in reversed(versions(store, name, tagged={"role": REFERENCE, "reference_key": reference_key})):
        score = version.metrics.get(STS_TEST, math.nan)
        if math.isfinite(score) and score > 0:
            return version
    return None


def find_version(found: Sequence[Version], name: str, number: str) -> Version:
    """One version of a registered model by its number. Raises TrackingError with those that there are."""
    for entry in found:
        if entry.version == number:
            return entry
    numbers = ", ".join(entry.version for entry in found)
    raise TrackingError(f"version={number}: {name} has no such version. It has {numbers}.")


def champion(store: Store, name: str) -> Version | None:
    """The version in production; None where there is none. Raises TrackingError when the store does not answer."""
    try:
        return alias_holder(store, name, STAGE_ALIASES["Production"])
    except FAULTS as error:
        raise TrackingError(f"The champion of {name} cannot be looked up: {first_line(error)}") from error


def alias_holder(store: Store, name: str, alias: str) -> Version | None:
    """The version that an alias names; None where it names none. Raises what MLflow does when the store does not answer."""
    try:
        return _read(store.client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        if error.error_code == "PERMISSION_DENIED" and not versions(
            store, name, newest=1
        ):  # so a server with users speaks of what is not there
            return None
        raise
