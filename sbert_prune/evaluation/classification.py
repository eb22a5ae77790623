"""Classification on frozen embeddings: how well simple classifiers predict the classes of unseen texts."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sbert_prune.data.splits import deal, text_keys
from sbert_prune.evaluation.bootstrap import mean_of, resample
from sbert_prune.evaluation.classifiers import (
    ResampledMacroF1,
    choose_c,
    choose_k,
    predict_logistic,
    predict_neighbours,
)
from sbert_prune.evaluation.measures import Measured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from sbert_prune.data.rows import LabelledData
    from sbert_prune.evaluation.bootstrap import Statistic
    from sbert_prune.evaluation.embeddings import Embedded

_FOLDS = 10
_NUM_PARTS = 5  # one fifth of the rows is held out to choose C
_MAX_TO_CHOOSE = 5000

RESAMPLES = 2000
"""Enough for the ends of a 95 % interval: 50 resamples lie beyond each end."""


@dataclass(frozen=True)
class ClassificationMeasure:
    """Scores logistic regression and nearest neighbours on a set of labelled texts.

    k and C are chosen on train. Without train, each of ten folds is predicted from the nine others, with a k and C that
    were chosen on half of the folds, never the half that contains the fold itself.

    Attributes:
        name: As in `classification=NAME=FOLDER`; the metrics are `classification/NAME_accuracy`, `_macro_f1`,
            `_knn_accuracy` and `_knn_macro_f1`.
        data: The labelled texts.
        resamples: Number of bootstrap resamples for the intervals.
        most_to_choose: Maximum number of rows on which k and C are chosen.
    """

    name: str
    data: LabelledData
    resamples: int = RESAMPLES
    _: KW_ONLY
    most_to_choose: int = _MAX_TO_CHOOSE

    def texts(self) -> Iterable[str]:
        """Return the texts of train and test."""
        return self._rows.texts

    def measure(self, embedded: Embedded) -> Measured:
        """Return accuracy and macro-F1 with their intervals over the test rows, and the chosen k and C."""
        ks, by_neighbours = self._by_neighbours(embedded)
        cs, by_regression = self._by_regression(embedded)
        gold = self._rows.labels[self._rows.first_test :]
        statistics = _statistics("", by_regression, gold) | _statistics("knn_", by_neighbours, gold)
        scores = resample(
            {f"classification/{self.name}_{name}": statistic for name, statistic in statistics.items()},
            len(gold),
            self.data.test.digest[:16],
            resamples=self.resamples,
        )
        chosen = {"knn_k": np.mean(ks), "c": np.exp(np.mean(np.log(cs))).round(6)}
        extras = chosen | {"num_classes": len(self.data.classes), "num_rows": len(gold)}
        values = {f"classification/{self.name}_{name}": float(value) for name, value in extras.items()}
        return Measured(scores, values=values)

    def _by_neighbours(self, embedded: Embedded) -> tuple[list[int], NDArray[np.int64]]:
        """Return the k of each choice, and the predicted classes. *Shape:* (test,)"""
        rows, num_classes = self._rows, len(self.data.classes)
        unit = embedded.of(rows.texts)
        unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        distinct = [rows.without_duplicates(indices)[: self.most_to_choose] for indices in self._plan.choices]
        ks = [choose_k(unit[indices], rows.labels[indices], num_classes) for indices in distinct]
        predicted = np.empty(len(rows.texts), dtype=np.int64)
        for part in self._plan.parts:
            train = rows.without_duplicates(part.train)
            predicted[part.test] = predict_neighbours(
                (unit[train], rows.labels[train]), unit[part.test], ks[part.choice], num_classes
            )
        return ks, predicted[rows.first_test :]

    def _by_regression(self, embedded: Embedded) -> tuple[list[float], NDArray[np.int64]]:
        """Return the C of each choice, and the predicted classes. *Shape:* (test,)"""
        rows = self._rows
        vectors = embedded.of(rows.texts)
        cs = [self._choose_c(vectors, indices[: self.most_to_choose]) for indices in self._plan.choices]
        predicted = np.empty(len(rows.texts), dtype=np.int64)
        for part in self._plan.parts:
            predicted[part.test] = predict_logistic(
                (vectors[part.train], rows.labels[part.train]), vectors[part.test], cs[part.choice]
            )
        return cs, predicted[rows.first_test :]

    def _choose_c(self, vectors: NDArray[np.float32], indices: NDArray[np.int64]) -> float:
        labels = self._rows.labels[indices]
        return choose_c(vectors[indices], labels, deal(self._rows.keys[indices], labels, _NUM_PARTS) == 0)

    @cached_property
    def _rows(self) -> _Rows:
        splits = [*filter(None, (self.data.train, self.data.test))]
        texts = [text for rows in splits for text in rows.texts]
        numbers = {label: number for number, label in enumerate(self.data.classes)}
        labels = np.array([numbers[label] for rows in splits for label in rows.labels], dtype=np.int64)
        return _Rows(texts, labels, text_keys(texts), len(texts) - len(self.data.test))

    @cached_property
    def _plan(self) -> _Plan:
        """Return which rows choose, train and test. Rows are sorted by content, so that file order has no influence."""
        rows = self._rows
        order = np.array(
            sorted(range(len(rows.texts)), key=lambda index: (rows.keys[index], rows.texts[index], rows.labels[index]))
        )
        if self.data.train is not None:
            train = order[order < rows.first_test]
            return _Plan((train,), (_Part(train, np.arange(rows.first_test, len(rows.texts)), 0),))
        fold = deal(rows.keys, rows.labels, _FOLDS)[order]
        parts = tuple(
            _Part(order[fold != number], order[fold == number], number % 2) for number in np.unique(fold).tolist()
        )
        return _Plan(tuple(order[fold % 2 != side] for side in (0, 1)), parts)


class _Rows(NamedTuple):
    """All texts, train before test, with their class numbers and text keys."""

    texts: list[str]
    labels: NDArray[np.int64]
    keys: NDArray[np.uint64]
    first_test: int

    def without_duplicates(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Drop duplicates (same text and class): a copy would be the nearest neighbour of its original."""
        _, first = np.unique(
            np.stack([self.keys[indices], self.labels[indices].astype(np.uint64)]), axis=1, return_index=True
        )
        return indices[np.sort(first)]


class _Part(NamedTuple):
    """Indices of the rows to train on and to predict, and the index of the choice of k and C to use."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    choice: int


class _Plan(NamedTuple):
    """Which rows choose the settings, and which train and test.

    Attributes:
        choices: For each choice, the indices of the rows that choose k and C.
        parts: Train and test indices; each row to predict is in the test indices of exactly one part.
    """

    choices: tuple[NDArray[np.int64], ...]
    parts: tuple[_Part, ...]


def _statistics(prefix: str, predicted: NDArray[np.int64], gold: NDArray[np.int64]) -> dict[str, Statistic]:
    correct = (predicted == gold).astype(np.float64)
    return {f"{prefix}accuracy": mean_of(correct), f"{prefix}macro_f1": ResampledMacroF1(predicted, gold)}
