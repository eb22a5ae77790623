"""MLflow's model registry: versions that carry their lineage, aliases and stages."""

from __future__ import annotations

import getpass
import math
import time
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from sbert_prune.delivery import FAULTS, first_line
from sbert_prune.errors import TrackingError
from sbert_prune.metric_names import RETENTION, STS_DEV, STS_TEST
from sbert_prune.tracking import TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from sbert_prune.tracking import Store

STAGE_ALIASES = {"Production": "champion", "Staging": "challenger"}
"""The stages that a version can be promoted to, and the alias that moves along."""

REFERENCE, VARIANT = "reference", "variant"
"""The roles of a version."""


@dataclass(frozen=True)
class Version:
    """A registered version, with what its tags say: settings under their short names, metrics as numbers."""

    name: str
    version: str
    run_id: str
    stage: str
    tags: dict[str, str]
    metrics: dict[str, float]

    @property
    def uri(self) -> str:
        """What loads it."""
        return f"models:/{self.name}/{self.version}"

    @property
    def is_reference(self) -> bool:
        """Whether it is what variants are measured against, and no variant itself."""
        return self.tags.get("role") == REFERENCE


def register(store: Store, draft: Version, model_id: str) -> Version:
    """Make a draft (its number still empty) a version of a logged model.

    Lineage and metrics become tags, so that they outlive the run.
    """
    values = {TAG + key: value for key, value in draft.tags.items()} | {key: _text(value) for key, value in draft.metrics.items()}
    try:
        _ensure_model(store.client, draft.name)
        made = store.client.create_model_version(
            draft.name, f"models:/{model_id}", draft.run_id, tags=values, model_id=model_id, description=_describe(draft)
        )
    except FAULTS as error:
        raise TrackingError(f"No version of {draft.name} could be registered: {first_line(error)}") from error
    return replace(draft, version=str(made.version))


_SHOWN = {
    STS_TEST: "STS test {:.4f}",
    STS_DEV: "dev {:.4f}",
    RETENTION: "{:.1%} of the reference",
    "size/disk_mb": "{:.1f} MB",
    "speed/speedup": "{:.2f}x the base's speed",
}


def _describe(draft: Version) -> str:
    """One line for the registry's own pages."""
    tags = draft.tags
    layers = f"{draft.tags.get('role', VARIANT)}: layers {tags.get('kept_layers')} of {tags.get('depth')} ({tags.get('strategy')})"
    vocabulary = [f"{tags['vocabulary']} pieces"] if "vocabulary" in tags else []
    return ", ".join([layers, *vocabulary, *(text.format(draft.metrics[key]) for key, text in _SHOWN.items() if key in draft.metrics)])


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name, description="Variants of one recipe, made by sbert-prune.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def versions(store: Store, name: str) -> list[Version]:
    """All versions of a registered model, oldest first; none where there is no such model."""
    quoted = name.replace("'", "\\'")
    found, token = [], None
    try:
        while True:
            page = store.client.search_model_versions(f"name='{quoted}'", max_results=1000, page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                break
    except FAULTS as error:
        raise TrackingError(f"The versions of {name} cannot be listed: {first_line(error)}") from error
    return sorted((_read(entry) for entry in found), key=lambda version: int(version.version))


def _read(entry: object) -> Version:
    raw: dict[str, str] = dict(entry.tags)  # type: ignore[attr-defined]  # mlflow's entities are not typed
    ours = {key.removeprefix(TAG): value for key, value in raw.items() if key.startswith(TAG)}
    metrics = {key: number for key, value in raw.items() if "/" in key and (number := _number(value)) is not None}
    return Version(entry.name, str(entry.version), entry.run_id or "", entry.current_stage or "None", ours, metrics)  # type: ignore[attr-defined]


def _text(number: float) -> str:
    return f"{number:.0f}" if number.is_integer() else f"{number:.6g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def find_reference(store: Store, name: str, reference_key: str) -> Version | None:
    """The newest reference that was made from the same base, data and recipe, with a score that can be divided by."""
    for version in reversed(versions(store, name)):
        score = version.metrics.get(STS_TEST, math.nan)
        if version.is_reference and version.tags.get("reference_key") == reference_key and math.isfinite(score) and score > 0:
            return version
    return None


def choose_version(store: Store, name: str, version: str | None) -> Version:
    """The version asked for, or the variant with the best dev score. Raises TrackingError where there is none."""
    found = versions(store, name)
    if not found:
        raise TrackingError(f"registered_model={name}: there is no such registered model in this store. Make one: mlflow run . -e full")
    if version is not None:
        return _by_number(found, name, version)
    variants = [entry for entry in found if not entry.is_reference and math.isfinite(entry.metrics.get(STS_DEV, math.nan))]
    if not variants:
        raise TrackingError(
            f"{name} has {len(found)} versions, but no pruned variant with a dev score. Make one, or name a version: -P version=1"
        )
    return max(variants, key=lambda entry: (entry.metrics[STS_DEV], int(entry.version)))


def _by_number(found: list[Version], name: str, version: str) -> Version:
    for entry in found:
        if entry.version == version:
            return entry
    numbers = ", ".join(entry.version for entry in found)
    raise TrackingError(f"version={version}: {name} has no such version. It has {numbers}.")


def promote(store: Store, chosen: Version, stage: str, reason: str) -> Version | None:
    """Move the stage and its alias to a version; the one before becomes `previous` and Archived. Returns the one before.

    Who, when, why and instead of whom is written to the version's tags.
    """
    alias = STAGE_ALIASES[stage]
    try:
        before = _alias_holder(store, chosen.name, alias)
        if before is not None and before.version == chosen.version:
            before = None
        if before is not None and alias == "champion":
            store.client.set_registered_model_alias(chosen.name, "previous", before.version)
        for other in set(STAGE_ALIASES.values()) - {alias}:
            holder = _alias_holder(store, chosen.name, other)
            if holder is not None and holder.version == chosen.version:  # a version is in one stage, so it has one of these
                store.client.delete_registered_model_alias(chosen.name, other)
        store.client.set_registered_model_alias(chosen.name, alias, chosen.version)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # stages are deprecated since MLflow 2.9; the alias carries on without them
            store.client.transition_model_version_stage(chosen.name, chosen.version, stage, archive_existing_versions=True)
        record = {
            "promoted_to": stage,
            "promoted_by": getpass.getuser(),
            "promoted_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
            "promoted_because": reason,
            "promoted_instead_of": before.version if before else "none",
        }
        for key, value in record.items():
            store.client.set_model_version_tag(chosen.name, chosen.version, TAG + key, value)
    except FAULTS as error:
        raise TrackingError(f"{chosen.uri} could not be promoted: {first_line(error)}") from error
    return before


def champion(store: Store, name: str) -> Version | None:
    """The version in production; None where there is none. Raises TrackingError when the store does not answer."""
    try:
        return _alias_holder(store, name, STAGE_ALIASES["Production"])
    except FAULTS as error:
        raise TrackingError(f"The champion of {name} cannot be looked up: {first_line(error)}") from error


def _alias_holder(store: Store, name: str, alias: str) -> Version | None:
    try:
        return _read(store.client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        if error.error_code == "PERMISSION_DENIED" and not versions(store, name):  # so a server with users speaks of what is not there
            return None
        raise
