"""The interface of all measures of a sentence model, and their results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sbert_prune.evaluation.bootstrap import Score
    from sbert_prune.evaluation.embeddings import Embedded


@dataclass(frozen=True, eq=False)
class Measured:
    """Results of one or several measures, by metric name.

    Attributes:
        scores: Main scores, logged with their intervals.
        details: Scores that are logged without intervals.
        values: Numbers without an interval.
        notes: Lines for the report.
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
        """Return scores and details together."""
        return {**self.scores, **self.details}

    def metrics(self) -> dict[str, float]:
        """Return plain numbers: `NAME`, and for scores also `NAME_low` and `NAME_high` (95 %)."""
        metrics = {name: score.value for name, score in self.all_scores.items()}
        for name, score in self.scores.items():
            metrics[f"{name}_low"], metrics[f"{name}_high"] = score.interval()
        return metrics | dict(self.values)


class Measure(Protocol):
    """A way to judge a sentence model by its embeddings."""

    def texts(self) -> Iterable[str]:
        """Return the sentences to embed."""
        ...

    def measure(self, embedded: Embedded) -> Measured:
        """Judge a model by the embeddings of these sentences."""
        ...


def texts_of(measures: Iterable[Measure]) -> list[str]:
    """Return the distinct sentences of all measures."""
    return list(dict.fromkeys(text for measure in measures for text in measure.texts()))


def measure_all(measures: Sequence[Measure], embedded: Embedded) -> Measured:
    """Return the results of all measures together."""
    results = Measured()
    for measure in measures:
        results |= measure.measure(embedded)
    return results
