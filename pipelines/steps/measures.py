"""The measures of an exam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_prune.evaluation.classification import ClassificationMeasure
from sbert_prune.evaluation.geometry import GeometryMeasure
from sbert_prune.evaluation.measures import Measure, texts_of
from sbert_prune.evaluation.retrieval import RetrievalMeasure
from sbert_prune.evaluation.robustness import RobustnessMeasure
from sbert_prune.evaluation.sts import StsMeasure

if TYPE_CHECKING:
    from pipelines.inputs.exam import Exam
    from sbert_prune.recipe.recipe import Recipe


@dataclass(frozen=True)
class Measures:
    """The measures of an exam.

    Attributes:
        pairs: Those that every model is measured by.
        others: Those that only the model and its reference are measured by.
        sentences: The sentences of the tested split, on which speed is measured.
    """

    pairs: Sequence[Measure]
    others: Sequence[Measure]
    sentences: Sequence[str]

    @classmethod
    def of(cls, exam: Exam, recipe: Recipe) -> Measures:
        """Return the measures that a recipe selects for an exam."""
        sets = exam.splits | exam.sts
        name, tested = exam.tested
        what = f"{name} ({tested.name})"
        sentences = [text for row in tested.rows for text in row.sentences]
        pairs = [StsMeasure(f"sts_{title}", rows.rows, f"{title} ({rows.name})") for title, rows in sets.items()]
        others: list[Measure] = [RetrievalMeasure(name, tested.rows, what)]
        others += [RobustnessMeasure(tested.rows, what, recipe.robustness)] if recipe.robustness else []
        others += [ClassificationMeasure(title, data) for title, data in exam.classification.items()]
        return cls([*pairs, GeometryMeasure(sentences, what)], others, sentences)

    @property
    def all(self) -> list[Measure]:
        """All measures."""
        return [*self.pairs, *self.others]

    def of_pairs(self) -> Measures:
        """Return the measures that every model is measured by, without the others."""
        return Measures(self.pairs, [], self.sentences)

    def texts(self) -> list[str]:
        """Return the distinct sentences that the measures need."""
        return texts_of(self.all)
