"""Digests by which a version tells that it was changed since it was registered: of its files, and of its own tags."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

REFERENCE, VARIANT, TRIAL = "reference", "variant", "trial"
"""The roles of a version. A trial is a variant that only the dev pairs have judged."""

BYTES, NOT_KEPT = "bytes", "let go"
"""The tag that says that a version's bytes are not kept, as they can be made again, and its value."""

TAGS_CHECKSUM, FILES_CHECKSUM, DEV_PAIRS_CHECKSUM = "tags_sha256", "files_sha256", "dev_pairs_sha256"
"""The tags that hold the digests."""

_MOVES = ("stage", TAGS_CHECKSUM)
_MOVES_BEGIN = "promoted_"
_MEASURED = (
    *("sts_", "quality/", "difference/", "classification/", "mteb/", "retrieval/"),
    *("robustness/", "geometry/", "size/", "speed/", "memory/", "roundtrip/"),
)
"""What metrics begin with; people may give a version other tags with a slash."""
_NOT_THE_MODELS = {"dev_pairs.json", "registered_model_meta"}
"""The first has a digest of its own; MLflow writes the second when it fetches a version."""


def digest_of_tags(tags: Mapping[str, str], metrics: Mapping[str, str]) -> str:
    """Of all tags but those that promotions move, and of the metrics that we know."""
    ours = {key: value for key, value in tags.items() if key not in _MOVES and not key.startswith(_MOVES_BEGIN)}
    kept = sorted({**ours, **{key: value for key, value in metrics.items() if key.startswith(_MEASURED)}}.items())
    return hashlib.sha256("\0".join(part for pair in kept for part in pair).encode()).hexdigest()


def digest_of_files(folder: Path) -> str:
    """Of the names and contents of a logged model's files."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in _NOT_THE_MODELS:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{path.relative_to(folder).as_posix()}\0{found}\n".encode())
    return whole.hexdigest()


def digest_of_text(text: str | bytes) -> str:
    """Of a file's text."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


@dataclass(frozen=True)
class Version:
    """A registered version, with what its tags say: settings under their short names, metrics as numbers. created: None for a draft."""

    name: str
    version: str
    run_id: str
    stage: str
    tags: dict[str, str]
    metrics: dict[str, float]
    created: datetime | None = None

    @property
    def uri(self) -> str:
        """What loads it."""
        return f"models:/{self.name}/{self.version}"

    @property
    def is_reference(self) -> bool:
        """Whether it is what variants are measured against, and no variant itself."""
        return self.tags.get("role") == REFERENCE

    @property
    def is_trial(self) -> bool:
        """Whether a search has made it, and nobody has judged it on test."""
        return self.tags.get("role") == TRIAL

    @property
    def has_no_files(self) -> bool:
        """Whether its bytes are gone on purpose."""
        return self.tags.get(BYTES) == NOT_KEPT


_SHOWN = {
    STS_TEST: "STS test {:.4f}",
    STS_DEV: "dev {:.4f}",
    RETENTION: "{:.1%} of the reference",
    "size/disk_mb": "{:.1f} MB",
    "speed/speedup": "{:.2f}x the base's speed",
}


def caption(draft: Version) -> str:
    """The line."""
    tags = draft.tags
    layers = f"{draft.tags.get('role', 'variant')}: layers {tags.get('kept_layers')} of {tags.get('depth')} ({tags.get('strategy')})"
    vocabulary = [f"{tags['vocabulary']} pieces"] if "vocabulary" in tags else []
    return ", ".join(
        [
            layers,
            *vocabulary,
            *(text.format(draft.metrics[key]) for key, text in _SHOWN.items() if key in draft.metrics),
        ]
    )
