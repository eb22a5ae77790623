"""What every measure of a sentence model has in common: the sentences that it asks for, and what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sbert_prune.evaluation.bootstrap import Score
    from sbert_prune.evaluation.embeddings import Embedded


@dataclass(frozen=True, eq=False)
class Measured:
    """What one or several measures found, by the names of metrics in MLflow.

    scores: what a model is judged by, logged with its interval.  details: scores that are logged without.
    values: numbers without an interval.  notes: lines for people.
    """

    scores: Mapping[str, Score] = field(default_factory=dict)
    details: Mapping[str, Score] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __or__(self, other: Measured) -> Measured:
        return Measured(
            {**self.scores, **other.scores},
            {**self.details, **other.details},
            {**self.values, **other.values},
            (*self.notes, *other.notes),
        )

    @property
    def all_scores(self) -> dict[str, Score]:
        """Scores and details together."""
        return {**self.scores, **self.details}

    def metrics(self) -> dict[str, float]:
        """Everything as plain numbers: `NAME`, and for scores `NAME_low` and `NAME_high` (95 %)."""
        ends = {
            f"{name}_{end}": bound
            for name, score in self.scores.items()
            for end, bound in zip(("low", "high"), score.interval(), strict=True)
        }
        return {name: score.value for name, score in self.all_scores.items()} | ends | dict(self.values)


class Measure(Protocol):
    """One way to judge a sentence model by its embeddings."""

    def texts(self) -> Iterable[str]:
        """The sentences that it needs embedded."""
        ...

    def measure(self, embedded: Embedded) -> Measured:
        """Judge the model that embedded them."""
        ...


def texts_of(measures: Iterable[Measure]) -> list[str]:
    """The distinct sentences of all measures."""
    return list(dict.fromkeys(text for measure in measures for text in measure.texts()))


def measure_all(measures: Sequence[Measure], embedded: Embedded) -> Measured:
    """What all measures find."""
    found = Measured()
    for measure in measures:
        found |= measure.measure(embedded)
    return found
