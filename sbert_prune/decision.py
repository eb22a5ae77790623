"""Whether a version may take a stage, or which one ought to, with the reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.metrics import RETENTION, STS_DEV, STS_TEST
from sbert_prune.registry.policy import LATENCY, SIZE, Candidate, no_better, shortcomings, unlike_champion
from sbert_prune.registry.versions import champion
from sbert_prune.tracking.logged_models import has_bytes, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sbert_prune.registry.policy import Policy
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

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
    if version.was_let_go:
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
