"""Which variant is good enough: not worse than its reference by more than a margin, and within what the user can afford."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sbert_prune.evaluation.bootstrap import MIN_ROWS, LEVEL, MARGIN
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST
from sbert_prune.registry.versions import champion
from sbert_prune.tracking.logged_models import has_bytes, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

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
    if len(own.gold) < MIN_ROWS:
        return [f"{len(own.gold)} dev pairs cannot tell whether it is as good as its reference: {MIN_ROWS} are the fewest"]
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


_TOLD = (STS_DEV, STS_TEST, RETENTION, SIZE, LATENCY)
_MOST_TOLD = 8


@dataclass(frozen=True)
class Decision:
    """chosen: the version that it is about; None where none qualifies.  refusals: why not; nothing where it may.  reason: why."""

    chosen: Version | None
    refusals: tuple[str, ...]
    reason: str

    @property
    def numbers(self) -> dict[str, float]:
        """The metrics that it was decided by."""
        return {name: self.chosen.metrics[name] for name in _TOLD if name in self.chosen.metrics} if self.chosen else {}


def decide(store: Store, found: Sequence[Version], chosen: Version | None, policy: Policy) -> Decision:
    """Look at one of the versions of a registered model, or, where none is chosen, for the smallest that qualifies.

    found: all of them, of which there is one at least.  Raises TrackingError.
    """
    now = champion(store, found[0].name)
    look = _looking(store, found)
    if chosen is not None:
        refusals = (*_bytes(store, chosen), *shortcomings(look(chosen), policy), *_beside_champion(chosen, now))
        return Decision(chosen, refusals, f"version {chosen.version} was asked for; {_scored(chosen)}")
    variants = sorted((entry for entry in found if not entry.is_reference and not entry.is_trial), key=_smallest_first)
    told: list[str] = []
    passed_over: list[str] = []
    for entry in variants:
        own = shortcomings(look(entry), policy) or _bytes(store, entry)
        beside = _beside_champion(entry, now) if not own else []
        if not own and not beside:
            smallest = (
                f"the smallest of {len(variants)} variants that is not worse than its reference by more than {policy.margin:g} on dev"
            )
            instead = [f"passed over: {'; '.join(_few(passed_over))}"] if passed_over else []
            return Decision(entry, (), "; ".join([smallest, _scored(entry), *instead]))
        told.append(f"version {entry.version}: {'; '.join([*own, *beside])}")
        passed_over += told[-1:] if beside else []
    return Decision(None, _few(told), "none of its variants qualifies" if variants else "it has no pruned variant")


def _bytes(store: Store, version: Version) -> list[str]:
    """What cannot be loaded is nothing to put into production."""
    if has_bytes(store, version.tags.get("model_id", "")):
        return []
    if version.has_no_files:
        return [f"its bytes were let go by the search: make them again with mlflow run . -e search -P rebuild={version.version}"]
    return ["its bytes are gone (mlflow run . -e verify tells more): make it again with mlflow run . -e full"]


def _few(told: Sequence[str]) -> tuple[str, ...]:
    more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    return (*told[:_MOST_TOLD], *more)


def _beside_champion(chosen: Version, now: Version | None) -> list[str]:
    """Why the champion stays. A version that is champion already may be so once more: that mends what was broken off."""
    if now is None or now.version == chosen.version:
        return []
    return [*unlike_champion(chosen, now), *no_better(chosen, now)]


def _scored(version: Version) -> str:
    score, size = version.metrics.get(STS_DEV), version.metrics.get(SIZE)
    told = [f"dev {score:.4f}" if score is not None else "no dev score", *([f"{size:.1f} MB"] if size is not None else [])]
    return ", ".join(told)


def _smallest_first(version: Version) -> tuple[float, float, int]:
    return version.metrics.get(SIZE, math.inf), -version.metrics.get(STS_DEV, -math.inf), int(version.version)


def _looking(store: Store, found: Sequence[Version]) -> Callable[[Version], Candidate]:
    """How a version becomes a candidate; what it says of the dev pairs is read once, and only when it is wanted."""

    @cache
    def pairs_of(model_id: str) -> DevPairs | None:
        content = read_file(store, model_id, FILE_NAME) if model_id else None
        return DevPairs.parse(content) if content is not None else None

    def look(version: Version) -> Candidate:
        reference = _reference_of(version, found)
        return Candidate(
            version,
            lambda: pairs_of(version.tags.get("model_id", "")),
            reference,
            lambda: pairs_of(reference.tags.get("model_id", "")) if reference is not None else None,
        )

    return look


def _reference_of(version: Version, found: Sequence[Version]) -> Version | None:
    """The newest of the same recipe and data; for a version that was made step by step, of the same base."""
    if version.is_reference:
        return version
    shared = "reference_key" if "reference_key" in version.tags else "base_sha256"
    same = [entry for entry in found if entry.is_reference and entry.tags.get(shared) == version.tags.get(shared, "")]
    return same[-1] if same else None
