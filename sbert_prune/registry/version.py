"""A registered version, and the checksums of its files and tags that reveal later changes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.metrics import METRICS, RETENTION, SIZE, SPEEDUP, STS_DEV, STS_TEST
from sbert_prune.tracking.store import TAG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

REFERENCE, VARIANT, TRIAL, RIVAL = "reference", "variant", "trial", "rival"
"""The roles of a version. A trial was evaluated on the dev pairs only; a rival is not registered."""

BYTES, NOT_KEPT = "bytes", "let go"
"""The tag of a version whose model files were deleted because they can be rebuilt, and its value."""

TAGS_CHECKSUM, FILES_CHECKSUM, DEV_PAIRS_CHECKSUM = "tags_sha256", "files_sha256", "dev_pairs_sha256"
"""The tags with the checksums."""

RECORD = f"{TAG}record"
"""The tag with everything that is recorded of a version, but not shown as a tag of its own: a JSON object.

Its keys are named as the tags would be. Versions of older releases have none: all their tags are shown.
"""

_PROMOTION_TAGS = ("stage", TAGS_CHECKSUM)
_PROMOTION_PREFIX = "promoted_"
_READ = {"role", "recipe", "base", "kept_layers", "depth", "num_layers", "strategy", "vocabulary", "seed", "stage"}
_SEARCHED = {"variant_key", "reference_key", "sibling_key", "fingerprint", "given_fingerprint"}
_SHOWN_TAGS = {STS_TEST, STS_DEV, RETENTION, SIZE, SPEEDUP} | {TAG + key for key in {*_READ, BYTES, *_SEARCHED}}
_LONGEST_RECORD = 90_000  # characters; MLflow allows 100,000
_METRIC_PREFIXES = tuple({metric.prefix for metric in METRICS if metric.repeats != "nothing"})
"""Prefixes of our metrics; users may add other tags that contain a slash."""
_IGNORED_FILES = {"dev_pairs.json", "registered_model_meta"}
"""The first has its own checksum; MLflow writes the second when it fetches a version."""


def pack_tags(values: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a version as they are stored: those that users read and search for, the others as a record.

    What does not fit into the record stays a tag of its own.
    """
    shown: dict[str, str] = {}
    record: dict[str, str] = {}
    length = 0
    for key, value in values.items():
        length += 0 if _is_shown(key) else len(json.dumps({key: value}))
        fits = length <= _LONGEST_RECORD and not _is_shown(key)
        (record if fits else shown)[key] = value
    return {**shown, RECORD: json.dumps(record)}


def _is_shown(key: str) -> bool:
    return key in _SHOWN_TAGS or key.startswith(TAG + _PROMOTION_PREFIX)


def unpack_tags(stored: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a version with those in its record; a record that cannot be read stays a tag."""
    try:
        record = json.loads(stored[RECORD])
    except (KeyError, ValueError):
        return dict(stored)
    if not isinstance(record, dict):
        return dict(stored)
    shown = {key: value for key, value in stored.items() if key != RECORD}
    return shown | {key: str(value) for key, value in record.items()}


def changed_tags(stored: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Return the tags to set on a version for these changes; without a readable record, each is a tag of its own."""
    known = unpack_tags(stored)
    if RECORD in known or RECORD not in stored:
        return dict(changes)
    recorded = {key: value for key, value in known.items() if stored.get(key) != value}
    packed = pack_tags({**recorded, **changes})
    return {key: value for key, value in packed.items() if stored.get(key) != value}


def digest_of_tags(tags: Mapping[str, str], metrics: Mapping[str, str]) -> str:
    """Return the SHA-256 of a version's tags, without those that a promotion changes, and of our metrics."""
    ours = {
        key: value
        for key, value in tags.items()
        if key not in _PROMOTION_TAGS and not key.startswith(_PROMOTION_PREFIX)
    }
    ours |= {key: value for key, value in metrics.items() if key.startswith(_METRIC_PREFIXES)}
    pairs = sorted(ours.items())
    return hashlib.sha256("\0".join(part for pair in pairs for part in pair).encode()).hexdigest()


def digest_of_files(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of a logged model's files."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in _IGNORED_FILES:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()


def digest_of_text(text: str | bytes) -> str:
    """Return the SHA-256 of a file's text."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


@dataclass(frozen=True)
class Version:
    """A registered version and its tags.

    Attributes:
        name: The registered model.
        version: The number; empty for a draft.
        run_id: The run that made it.
        stage: MLflow's stage.
        tags: Our tags, without the prefix `sbert_prune.`.
        metrics: The tags that are metrics, as numbers.
        created: When it was registered; None for a draft.
    """

    name: str
    version: str
    run_id: str
    stage: str
    tags: dict[str, str]
    metrics: dict[str, float]
    created: datetime | None = None

    @property
    def uri(self) -> str:
        """The URI that loads it."""
        return f"models:/{self.name}/{self.version}"

    @property
    def title(self) -> str:
        """The URI; of a rival, which is not registered, the name that the user gave."""
        return self.uri if self.version else self.name

    @property
    def is_reference(self) -> bool:
        """Whether it is a reference, which variants are compared with, and not a variant."""
        return self.tags.get("role") == REFERENCE

    @property
    def is_rival(self) -> bool:
        """Whether it is no version, but a model that the user holds against one."""
        return self.tags.get("role") == RIVAL

    @property
    def is_trial(self) -> bool:
        """Whether it was made by a search and not evaluated on test."""
        return self.tags.get("role") == TRIAL

    @property
    def has_no_files(self) -> bool:
        """Whether its model files were deleted on purpose."""
        return self.tags.get(BYTES) == NOT_KEPT


_SHOWN = {
    STS_TEST: "STS test {:.4f}",
    STS_DEV: "dev {:.4f}",
    RETENTION: "{:.1%} of the reference",
    SIZE: "{:.1f} MB",
    SPEEDUP: "{:.2f}x the base's speed",
}


def figures(metrics: Mapping[str, float]) -> str:
    """Return the metrics that matter most in words, such as "dev 0.8123, 25.4 MB"; "" without any."""
    return ", ".join(text.format(metrics[key]) for key, text in _SHOWN.items() if key in metrics)


def caption(draft: Version) -> str:
    """Return the one-line description of a version."""
    tags = draft.tags
    role, strategy = tags.get("role", "variant"), tags.get("strategy")
    layers = f"{role}: layers {tags.get('kept_layers')} of {tags.get('depth')} ({strategy})"
    vocabulary = [f"{tags['vocabulary']} pieces"] if "vocabulary" in tags else []
    state = "NO FILES, which the search can make again (rebuild)" if draft.has_no_files else ""
    return ", ".join(filter(None, [state, layers, *vocabulary, figures(draft.metrics)]))
