"""A version beside its reference: how much worse it may be, by the paired bootstrap over the dev pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sbert_prune.evaluation.bootstrap import LEVEL, MIN_ROWS
from sbert_prune.evaluation.dev_pairs import FILE_NAME, DevPairs
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.logged_models import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sbert_prune.evaluation.bootstrap import Score
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store


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


def passing_margin(difference: Score) -> float:
    """Return the smallest margin, in thousandths, that a difference to the reference is within."""
    thousandths = range(1001)
    return next(
        (number / 1000 for number in thousandths if difference.probability_below(-number / 1000) <= 1 - LEVEL), 1.0
    )


def check_quality(candidate: Candidate, margin: float) -> list[str]:
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
    if len(pairs.gold) < MIN_ROWS:
        return [
            f"{len(pairs.gold)} dev pairs cannot tell whether it is as good as its reference: {MIN_ROWS} are the fewest"
        ]
    return _compare_with_reference(pairs.score, reference_pairs.score, margin, reference)


def _compare_with_reference(score: Score, reference_score: Score, margin: float, reference: Version) -> list[str]:
    difference = score.minus(reference_score)
    probability = difference.probability_below(-margin)
    if probability <= 1 - LEVEL:
        return []
    return [
        f"it may be worse than its reference, version {reference.version}, by more than {margin:g}: "
        f"dev {score.value:.4f} against {reference_score.value:.4f}, "
        f"difference {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}], "
        f"probability {probability:.3f} (at most {1 - LEVEL:.2f} is asked; "
        f"margin={passing_margin(difference):g} would pass)"
    ]


def candidate_factory(store: Store, registered: Sequence[Version]) -> Callable[[Version], Candidate]:
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
