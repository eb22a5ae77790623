"""The promotion policy: a variant must be within a margin of its reference and within the user's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sbert_prune.evaluation.bootstrap import MARGIN
from sbert_prune.evaluation.efficiency.timing import DISTURBED, MACHINE, conditions_on
from sbert_prune.metrics import LATENCY, RETENTION, ROUNDTRIP, SIZE, STS_DEV, STS_TEST
from sbert_prune.registry.candidate import candidate_factory, check_quality
from sbert_prune.registry.history import PRODUCTION
from sbert_prune.registry.promotion import holder
from sbert_prune.system.command_line import command_line
from sbert_prune.system.limits import this_machine
from sbert_prune.tracking.logged_models import has_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sbert_prune.registry.candidate import Candidate
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


def shortcomings(candidate: Candidate, policy: Policy) -> list[str]:
    """Return why a version does not qualify; an empty list if it does.

    The comparison with the reference is made only if everything else is fulfilled.
    """
    return _recorded_shortcomings(candidate, policy) or check_quality(candidate, policy.margin)


def _recorded_shortcomings(candidate: Candidate, policy: Policy) -> list[str]:
    version = candidate.version
    latency = _check_conditions(version) if policy.max_latency_ms is not None else []
    return [*_check_roundtrip(version.metrics), *_check_limits(version.metrics, policy), *latency]


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


def _check_conditions(version: Version) -> list[str]:
    """Return why a version's latency says nothing about this machine; an empty list where it was measured like now."""
    if LATENCY not in version.metrics:
        return []
    place, disturbed = version.tags.get(MACHINE), version.tags.get(DISTURBED, "no")
    threads = conditions_on(torch.device("cpu")).threads
    here = place is not None and place.startswith(this_machine() + ", ") and place.endswith(f" {threads} threads")
    if here and disturbed == "no":
        return []
    there = place or "a machine that is not recorded"
    found = disturbed if here else f"measured on {there}, this is {this_machine()}, {threads} threads"
    evaluate = command_line("evaluate", model=version.uri, force="true")
    again = f"{evaluate}, then {command_line('register', model=version.uri)}"
    return [f"max_latency_ms: its {LATENCY} does not compare, {found}. Measure it here: {again}"]


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
    sizes = [_size(version) for version in (chosen, champion)]
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
        falls_short: Whether it is refused for what it is; otherwise only the champion stands in its way.
    """

    chosen: Version | None
    refusals: tuple[str, ...]
    reason: str
    falls_short: bool = False

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
    as_candidate = candidate_factory(store, registered)
    if chosen is not None:
        failures = [*_check_files(store, chosen), *shortcomings(as_candidate(chosen), policy)]
        refusals = (*failures, *_compare_with_champion(chosen, current))
        reason = f"version {chosen.version} was asked for; {_format_score(chosen)}"
        return Decision(chosen, refusals, reason, falls_short=bool(failures))
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
    return _size(version), -version.metrics.get(STS_DEV, -math.inf), int(version.version)


def _size(version: Version) -> float:
    """Return the size to three digits: a few bytes in a text file of a model do not make it smaller."""
    return float(f"{version.metrics.get(SIZE, math.inf):.3g}")
