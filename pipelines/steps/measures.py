"""The measures that an exam comes to."""

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
    """pairs: what every rival is asked.  others: what the model and its reference are asked besides.

    sentences: those of the split that is tested, by which speed is measured.
    """

    pairs: Sequence[Measure]
    others: Sequence[Measure]
    sentences: Sequence[str]

    @classmethod
    def of(cls, exam: Exam, recipe: Recipe) -> Measures:
        """What a recipe asks of an exam."""
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
        """Both kinds."""
        return [*self.pairs, *self.others]

    def of_pairs(self) -> Measures:
        """What every rival is asked, alone."""
        return Measures(self.pairs, [], self.sentences)

    def texts(self) -> list[str]:
        """The distinct sentences that they need."""
        return texts_of(self.all)
