"""Whether a version may take a stage, or which one ought to, with the reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.metric_names import RETENTION, STS_DEV, STS_TEST
from sbert_prune.models import read_file
from sbert_prune.policy import LATENCY, SIZE, Candidate, no_better, shortcomings, unlike_champion
from sbert_prune.registry import champion, find_version, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sbert_prune.policy import Policy
    from sbert_prune.registry import Version
    from sbert_prune.store import Store

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


def decide(store: Store, name: str, number: str | None, policy: Policy) -> Decision:
    """Look at one version, or choose the smallest that qualifies. Raises TrackingError where there is none to look at."""
    found = versions(store, name)
    chosen = find_version(found, name, number) if number is not None else None
    now = champion(store, name)
    look = _looking(store, found)
    if chosen is not None:
        refusals = shortcomings(look(chosen), policy)
        return _beside_champion(Decision(chosen, tuple(refusals), f"version {number} was asked for; {_scored(chosen)}"), now)
    variants = sorted((entry for entry in found if not entry.is_reference), key=_smallest_first)
    told = []
    for entry in variants:
        refusals = shortcomings(look(entry), policy)
        if not refusals:
            reason = f"the smallest of {len(variants)} variants that is not worse than its reference by more than {policy.margin:g} on dev"
            return _beside_champion(Decision(entry, (), f"{reason}; {_scored(entry)}"), now)
        told.append(f"version {entry.version}: {'; '.join(refusals)}")
    more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    nothing = "none of its variants qualifies" if variants else "it has no pruned variant"
    return Decision(None, (*told[:_MOST_TOLD], *more), nothing)


def _beside_champion(decision: Decision, now: Version | None) -> Decision:
    """A version that is champion already may be so once more: that mends what was broken off."""
    chosen = decision.chosen
    if chosen is None or now is None or now.version == chosen.version:
        return decision
    more = [*unlike_champion(chosen, now), *no_better(chosen, now)]
    return Decision(chosen, (*decision.refusals, *more), decision.reason)


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
