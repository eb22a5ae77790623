"""The promotion policy: a variant must be within a margin of its reference and within the user's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sbert_prune.evaluation.bootstrap import LEVEL, MARGIN, MIN_ROWS
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.metrics import LATENCY, RETENTION, ROUNDTRIP, SIZE, STS_DEV, STS_TEST
from sbert_prune.registry.history import PRODUCTION
from sbert_prune.registry.promotion import holder
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.logged_models import has_bytes, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

TOLERANCE = 1e-3
"""The largest difference that an embedding may have after a round trip through disk."""


@dataclass(frozen=True)
class Policy:
    """What a variant must satisfy to be promoted.

    Attributes:
        margin: Of dev Spearman.
        max_size_mb: On disk.
        max_latency_ms: The median for one sentence.
        min_retention: 0 to 1.
    """

    margin: float = MARGIN
    max_size_mb: float | None = None
    max_latency_ms: float | None = None
    min_retention: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A version and the reference that it is compared with.

    Attributes:
        version: The version.
        pairs: Reads its scores of the dev pairs; returns None if they are not stored.
        reference: Its reference, if there is one.
        reference_pairs: Reads those of the reference.
    """

    version: Version
    pairs: Callable[[], DevPairs | None]
    reference: Version | None
    reference_pairs: Callable[[], DevPairs | None]


def shortcomings(candidate: Candidate, policy: Policy) -> list[str]:
    """Return why a version does not qualify; an empty list if it does.

    The comparison with the reference is made only if everything else is fulfilled.
    """
    return _recorded_shortcomings(candidate, policy) or _check_quality(candidate, policy.margin)


def _recorded_shortcomings(candidate: Candidate, policy: Policy) -> list[str]:
    metrics = candidate.version.metrics
    return [*_check_roundtrip(metrics), *_check_limits(metrics, policy)]


def _is_clearly_worse(candidate: Candidate, margin: float) -> bool:
    """Return whether a version cannot pass the comparison with its reference, by their recorded scores alone.

    Where the difference itself is beyond the margin, about half of the resamples are beyond it as well, and one in
    twenty is allowed.
    """
    if candidate.reference is None:
        return True
    missing = math.nan  # compares as False: such a version is compared by its pairs
    score, reference = (entry.metrics.get(STS_DEV, missing) for entry in (candidate.version, candidate.reference))
    return score < reference - margin


def _check_roundtrip(metrics: Mapping[str, float]) -> list[str]:
    difference = metrics.get(ROUNDTRIP)
    if difference is None:
        return [f"its round trip through disk was not verified ({ROUNDTRIP} is missing): register it with sbert-prune"]
    if not difference <= TOLERANCE:
        return [f"it did not come back as it was saved: embeddings differ by {difference:.1g}"]
    return []


def _check_limits(metrics: Mapping[str, float], policy: Policy) -> list[str]:
    limits = (("max_size_mb", SIZE, policy.max_size_mb), ("max_latency_ms", LATENCY, policy.max_latency_ms))
    reasons = [
        f"{name}={limit:g}: {metric} is {metrics[metric]:.4g}"
        if metric in metrics
        else f"{name}={limit:g}: {metric} was not measured"
        for name, metric, limit in limits
        if limit is not None and not metrics.get(metric, float("inf")) <= limit
    ]
    if policy.min_retention is not None and not metrics.get(RETENTION, 0.0) >= policy.min_retention:
        measured = f"is {metrics[RETENTION]:.4f}" if RETENTION in metrics else "was not measured"
        reasons.append(f"min_retention={policy.min_retention:g}: {RETENTION} {measured}")
    return reasons


def _check_quality(candidate: Candidate, margin: float) -> list[str]:
    """Return why a version may be worse than its reference by more than the margin.

    Uses the paired bootstrap over the dev pairs, one-sided, 95 %.
    """
    version, reference = candidate.version, candidate.reference
    if reference is None:
        return [
            "there is no reference in the registry to compare it with: "
            f"{command_line('full')} makes one with each variant"
        ]
    if reference.version == version.version:
        return []
    pairs, reference_pairs = candidate.pairs(), candidate.reference_pairs()
    if pairs is None or reference_pairs is None:
        stored = ((version, pairs), (reference, reference_pairs))
        missing = " and ".join(entry.uri for entry, its_pairs in stored if its_pairs is None)
        return [
            f"what {missing} say of the dev pairs was not kept: judge again, {command_line('evaluate', model='MODEL')}"
        ]
    if pairs.digest != reference_pairs.digest:
        return [f"it and its reference, version {reference.version}, were judged on different dev pairs"]
    return _compare_with_reference(pairs, reference_pairs, margin, reference)


def _compare_with_reference(pairs: DevPairs, reference_pairs: DevPairs, margin: float, reference: Version) -> list[str]:
    if len(pairs.gold) < MIN_ROWS:
        return [
            f"{len(pairs.gold)} dev pairs cannot tell whether it is as good as its reference: {MIN_ROWS} are the fewest"
        ]
    score, reference_score = pairs.score, reference_pairs.score
    difference = score.minus(reference_score)
    probability = difference.probability_below(-margin)
    if probability <= 1 - LEVEL:
        return []
    return [
        f"it may be worse than its reference, version {reference.version}, by more than {margin:g}: "
        f"dev {score.value:.4f} against {reference_score.value:.4f}, "
        f"difference {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}], "
        f"probability {probability:.3f} (at most {1 - LEVEL:.2f} is asked)"
    ]


def _not_comparable(chosen: Version, champion: Version) -> list[str]:
    """Return why a version cannot be compared with the champion: they were evaluated on different pairs."""
    reasons = []
    for split in ("dev", "test"):
        digest, expected = (version.tags.get(f"sts_{split}_digest") for version in (chosen, champion))
        if expected is not None and digest != expected:
            judged = f"on {split} pairs {digest}" if digest else f"on unknown {split} pairs"
            again = "" if digest else f". Judge it again: {command_line('evaluate', model=chosen.uri)}"
            reasons.append(
                f"it was judged {judged}, the champion, version {champion.version}, on {expected}: "
                f"their scores do not compare{again}"
            )
    return reasons


def _not_better(chosen: Version, champion: Version) -> list[str]:
    """Return why a version does not replace the champion: it is not smaller, and its dev score is not higher."""
    sizes = [version.metrics.get(SIZE, float("inf")) for version in (chosen, champion)]
    scores = [version.metrics.get(STS_DEV, float("-inf")) for version in (chosen, champion)]
    if sizes[0] < sizes[1] or scores[0] > scores[1]:
        return []
    values = [f"{size:.1f} MB, dev {score:.4f}" for size, score in zip(sizes, scores, strict=True)]
    return [f"it is no better than the champion, version {champion.version}: {values[0]} against {values[1]}"]


_RECORDED_METRICS = (STS_DEV, STS_TEST, RETENTION, SIZE, LATENCY)
_MAX_REASONS = 8


@dataclass(frozen=True)
class Decision:
    """Whether a version may be promoted.

    Attributes:
        chosen: The version; None if none qualifies.
        refusals: Why it may not be promoted; empty if it may.
        reason: Why it was chosen.
    """

    chosen: Version | None
    refusals: tuple[str, ...]
    reason: str

    @property
    def numbers(self) -> dict[str, float]:
        """The metrics that the decision is based on."""
        metrics = self.chosen.metrics if self.chosen else {}
        return {name: metrics[name] for name in _RECORDED_METRICS if name in metrics}


def decide(store: Store, registered: Sequence[Version], chosen: Version | None, policy: Policy) -> Decision:
    """Check the chosen version of a registered model; if none is chosen, find the smallest that qualifies.

    Args:
        store: The tracking store.
        registered: All versions of the registered model, at least one.
        chosen: The version to check, or None.
        policy: What it must satisfy.

    Raises:
        TrackingError: The store does not answer.
    """
    current = holder(store, registered[0].name, PRODUCTION)
    as_candidate = _candidate_factory(store, registered)
    if chosen is not None:
        refusals = (
            *_check_files(store, chosen),
            *shortcomings(as_candidate(chosen), policy),
            *_compare_with_champion(chosen, current),
        )
        return Decision(chosen, refusals, f"version {chosen.version} was asked for; {_format_score(chosen)}")
    variants = sorted(
        (version for version in registered if not version.is_reference and not version.is_trial), key=_smallest_first
    )
    refused: list[str] = []
    passed_over: list[str] = []
    for version in variants:
        candidate = as_candidate(version)
        if len(refused) >= _MAX_REASONS and _is_hopeless(candidate, current, policy):
            refused.append(f"version {version.version}")  # its reasons would not be shown
            continue
        failures = shortcomings(candidate, policy) or _check_files(store, version)
        against_champion = _compare_with_champion(version, current) if not failures else []
        if not failures and not against_champion:
            smallest = (
                f"the smallest of {len(variants)} variants that is not worse than its reference "
                f"by more than {policy.margin:g} on dev"
            )
            instead = [f"passed over: {'; '.join(_first_few(passed_over))}"] if passed_over else []
            return Decision(version, (), "; ".join([smallest, _format_score(version), *instead]))
        refused.append(f"version {version.version}: {'; '.join([*failures, *against_champion])}")
        passed_over += refused[-1:] if against_champion else []
    reason = "none of its variants qualifies" if variants else "it has no pruned variant"
    return Decision(None, _first_few(refused), reason)


def _is_hopeless(candidate: Candidate, current: Version | None, policy: Policy) -> bool:
    """Return whether a version cannot be chosen, by what is recorded; of hundreds, few files are read."""
    return (
        bool(_recorded_shortcomings(candidate, policy) or _compare_with_champion(candidate.version, current))
        or candidate.version.has_no_files
        or _is_clearly_worse(candidate, policy.margin)
    )


def _check_files(store: Store, version: Version) -> list[str]:
    """Return why a version cannot be loaded; an empty list if its model files exist."""
    if has_bytes(store, version.tags.get("model_id", "")):
        return []
    if version.has_no_files:
        return [
            "its bytes were let go by the search: make them again with "
            f"{command_line('search', rebuild=version.version)}"
        ]
    return [f"its bytes are gone ({command_line('verify')} tells more): make it again with {command_line('full')}"]


def _first_few(reasons: Sequence[str]) -> tuple[str, ...]:
    more = [f"and {len(reasons) - _MAX_REASONS} more"] if len(reasons) > _MAX_REASONS else []
    return (*reasons[:_MAX_REASONS], *more)


def _compare_with_champion(chosen: Version, current: Version | None) -> list[str]:
    """Return why the champion stays.

    The champion itself may be promoted again, which completes an interrupted promotion.
    """
    if current is None or current.version == chosen.version:
        return []
    return [*_not_comparable(chosen, current), *_not_better(chosen, current)]


def _format_score(version: Version) -> str:
    score, size = version.metrics.get(STS_DEV), version.metrics.get(SIZE)
    parts = [f"dev {score:.4f}" if score is not None else "no dev score"]
    parts += [f"{size:.1f} MB"] if size is not None else []
    return ", ".join(parts)


def _smallest_first(version: Version) -> tuple[float, float, int]:
    return version.metrics.get(SIZE, math.inf), -version.metrics.get(STS_DEV, -math.inf), int(version.version)


def _candidate_factory(store: Store, registered: Sequence[Version]) -> Callable[[Version], Candidate]:
    """Return a function that makes a version a candidate. Each file of dev pairs is read at most once, when needed."""

    @cache
    def read_pairs(model_id: str) -> DevPairs | None:
        content = read_file(store, model_id, FILE_NAME) if model_id else None
        return DevPairs.parse(content) if content is not None else None

    references = [version for version in registered if version.is_reference]

    def as_candidate(version: Version) -> Candidate:
        reference = _find_reference(version, references)
        return Candidate(
            version,
            lambda: read_pairs(version.tags.get("model_id", "")),
            reference,
            lambda: read_pairs(reference.tags.get("model_id", "")) if reference is not None else None,
        )

    return as_candidate


def _find_reference(version: Version, references: Sequence[Version]) -> Version | None:
    """Return the newest reference of the same recipe and data; for a version made step by step, of the same base."""
    if version.is_reference:
        return version
    shared = "reference_key" if "reference_key" in version.tags else "base_sha256"
    wanted = version.tags.get(shared, "")
    return next((other for other in reversed(references) if other.tags.get(shared) == wanted), None)
