"""The names of metrics that several modules use, and which metrics the parent run and the version repeat."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

STS_DEV = "sts_dev/spearman_cosine"
"""The metric that decides between variants."""

STS_TEST = "sts_test/spearman_cosine"
"""The main quality metric of a finished variant."""

RETENTION = "quality/retention"
"""The variant's STS_TEST divided by the reference's."""

SIZE = "size/disk_mb"

LATENCY = "speed/latency_p50_ms"
"""The median of one sentence."""

ROUNDTRIP = "roundtrip/max_abs_diff"
"""By how much embeddings differ after the saved model was reloaded."""

HEADLINES = (
    "sts_*/spearman_cosine",
    "sts_*/spearman_cosine_low",
    "sts_*/spearman_cosine_high",
    "sts_*/pearson_cosine",
    "quality/*",
    "difference/*",
    "classification/*_accuracy",
    "classification/*_macro_f1",
    "mteb/*",
    "retrieval/*_recall_at_1",
    "retrieval/*_mrr",
    "robustness/*_drop",
    "robustness/*_noticed",
    "geometry/*",
    "size/*",
    "speed/*",
    "memory/*",
    "roundtrip/*",
)
"""Patterns of the metrics that runs and versions are compared by; others are logged once, where they are measured."""

PREFIXES = tuple(dict.fromkeys(pattern[: pattern.index("/") + 1].replace("*/", "") for pattern in HEADLINES))
"""What the names of our metrics begin with: "sts_", "quality/"; users may add tags of other names to a version."""


def headlines(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are repeated on the parent run and the version."""
    return {name: value for name, value in metrics.items() if any(fnmatchcase(name, pattern) for pattern in HEADLINES)}
