"""Which variant is good enough: not worse than its reference by more than a margin, and within what the user can afford."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.evaluation.bootstrap import FEWEST_TO_TELL, LEVEL, MARGIN
from sbert_prune.metrics import RETENTION, STS_DEV

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sbert_prune.evaluation.dev_pairs import DevPairs
    from sbert_prune.registry.version import Version

SIZE, LATENCY, ROUNDTRIP = "size/disk_mb", "speed/latency_p50_ms", "roundtrip/max_abs_diff"
TOLERANCE = 1e-3
"""By so much an embedding may differ once it was saved and loaded."""


@dataclass(frozen=True)
class Policy:
    """margin: of dev Spearman.  max_size_mb: on disk.  max_latency_ms: of one sentence, the median.  min_retention: 0 to 1."""

    margin: float = MARGIN
    max_size_mb: float | None = None
    max_latency_ms: float | None = None
    min_retention: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A version, and what it is held against. pairs: read when they are wanted; None where nobody kept them."""

    version: Version
    pairs: Callable[[], DevPairs | None]
    reference: Version | None
    reference_pairs: Callable[[], DevPairs | None]


def shortcomings(candidate: Candidate, policy: Policy) -> list[str]:
    """Why a version does not qualify, for people; nothing where it does. The comparison comes last, and only where all else holds."""
    metrics = candidate.version.metrics
    found = [*_unproven(metrics), *_over_the_limits(metrics, policy)]
    return found or _worse(candidate, policy.margin)


def _unproven(metrics: Mapping[str, float]) -> list[str]:
    difference = metrics.get(ROUNDTRIP)
    if difference is None:
        return [f"nobody has proven that it comes back as it was saved ({ROUNDTRIP} is missing): register it with sbert-prune"]
    if not difference <= TOLERANCE:
        return [f"it did not come back as it was saved: embeddings differ by {difference:.1g}"]
    return []


def _over_the_limits(metrics: Mapping[str, float], policy: Policy) -> list[str]:
    at_most = (("max_size_mb", SIZE, policy.max_size_mb), ("max_latency_ms", LATENCY, policy.max_latency_ms))
    found = [
        f"{name}={limit:g}: {metric} is {metrics[metric]:.4g}" if metric in metrics else f"{name}={limit:g}: {metric} was not measured"
        for name, metric, limit in at_most
        if limit is not None and not metrics.get(metric, float("inf")) <= limit
    ]
    if policy.min_retention is not None and not metrics.get(RETENTION, 0.0) >= policy.min_retention:
        told = f"is {metrics[RETENTION]:.4f}" if RETENTION in metrics else "was not measured"
        found.append(f"min_retention={policy.min_retention:g}: {RETENTION} {told}")
    return found


def _worse(candidate: Candidate, margin: float) -> list[str]:
    """Whether it may be worse than its reference by more than the margin: the paired bootstrap over dev pairs, one-sided, 95 %."""
    version, reference = candidate.version, candidate.reference
    if reference is None:
        return ["there is no reference in the registry to hold it against: mlflow run . -e full makes one with each variant"]
    if reference.version == version.version:
        return []
    own, theirs = candidate.pairs(), candidate.reference_pairs()
    if own is None or theirs is None:
        missing = [which.uri for which, pairs in ((version, own), (reference, theirs)) if pairs is None]
        return [f"what {' and '.join(missing)} say of the dev pairs was not kept: judge again, mlflow run . -e evaluate -P model=MODEL"]
    if own.digest != theirs.digest:
        return [f"it and its reference, version {reference.version}, were judged on different dev pairs"]
    return _held_against(own, theirs, margin, reference)


def _held_against(own: DevPairs, theirs: DevPairs, margin: float, reference: Version) -> list[str]:
    if len(own.gold) < FEWEST_TO_TELL:
        return [f"{len(own.gold)} dev pairs cannot tell whether it is as good as its reference: {FEWEST_TO_TELL} are the fewest"]
    difference = own.score.minus(theirs.score)
    chance = difference.probability_below(-margin)
    if chance <= 1 - LEVEL:
        return []
    return [
        f"it may be worse than its reference, version {reference.version}, by more than {margin:g}: dev {own.score.value:.4f} against "
        f"{theirs.score.value:.4f}, difference {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}], "
        f"probability {chance:.3f} (at most {1 - LEVEL:.2f} is asked)"
    ]


def unlike_champion(chosen: Version, champion: Version) -> list[str]:
    """Why a version cannot be compared with the champion: they were judged on different pairs."""
    found = []
    for split in ("dev", "test"):
        own, theirs = (version.tags.get(f"sts_{split}_digest") for version in (chosen, champion))
        if theirs is not None and own != theirs:
            told = f"on {split} pairs {own}" if own else f"on {split} pairs that nobody knows"
            found.append(f"it was judged {told}, the champion, version {champion.version}, on {theirs}: their scores do not compare")
    return found


def no_better(chosen: Version, champion: Version) -> list[str]:
    """Why the champion may as well stay: it is no larger, and scores no less on dev."""
    sizes = [version.metrics.get(SIZE, float("inf")) for version in (chosen, champion)]
    scores = [version.metrics.get(STS_DEV, float("-inf")) for version in (chosen, champion)]
    if sizes[0] < sizes[1] or scores[0] > scores[1]:
        return []
    told = [f"{size:.1f} MB, dev {score:.4f}" for size, score in zip(sizes, scores, strict=True)]
    return [f"it is no better than the champion, version {champion.version}: {told[0]} against {told[1]}"]
