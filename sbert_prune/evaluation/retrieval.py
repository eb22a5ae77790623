"""Retrieval on STS pairs: is the sentence that people find alike the nearest of all?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.data.normalise import normalised
from sbert_prune.evaluation.bootstrap import mean_of, resample
from sbert_prune.evaluation.measures import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbert_prune.data.rows import StsRow
    from sbert_prune.evaluation.embeddings import Embedded

ALIKE = 0.8
"""From this score on (0 to 1), the second sentence is what a search for the first should find: 4 of 5, "mostly equivalent"."""

_FEWEST_QUERIES = 20
_AT_ONCE = 512  # queries whose cosines with the whole corpus are held at once


@dataclass(frozen=True)
class RetrievalMeasure:
    """Searches for each first sentence of an alike pair among all sentences of the split but itself.

    name: of its metrics, such as test: retrieval/test_recall_at_1 and retrieval/test_mrr.  what: for people.
    """

    name: str
    rows: Sequence[StsRow]
    what: str
    resamples: int = 2000

    @cached_property
    def corpus(self) -> list[str]:
        """All distinct sentences of the split."""
        return list(dict.fromkeys(text for row in self.rows for text in row.sentences))

    @cached_property
    def wanted(self) -> dict[str, set[str]]:
        """What each query should find. The same words in other case or punctuation are no find, and not in its way."""
        found: dict[str, set[str]] = {}
        for row in self.rows:
            one, two = row.sentences
            if row.score >= ALIKE and self._said[one] != self._said[two]:
                found.setdefault(one, set()).add(two)
        return found

    @cached_property
    def _said(self) -> dict[str, str]:
        return {text: normalised(text) for text in self.corpus}

    def texts(self) -> Iterable[str]:
        """All sentences of the split."""
        return self.corpus

    def measure(self, embedded: Embedded) -> Measured:
        """recall@1 and mean reciprocal rank (MRR) with their intervals over the queries; a note where these are too few."""
        queries = list(self.wanted)
        if len(queries) < _FEWEST_QUERIES:
            found = f"{len(queries)} pairs score {ALIKE:g} or more (0 to 1) and differ in words"
            return Measured(notes=(f"{self.what}: retrieval wants {_FEWEST_QUERIES} queries, and {found}",))
        ranks = self._ranks(queries, embedded)
        sample = sha256("\0".join((*queries, *self.corpus)).encode()).hexdigest()[:16]
        statistics = {"recall_at_1": mean_of((ranks == 1).astype(np.float64)), "mrr": mean_of(1 / ranks)}
        scores = resample(statistics, len(queries), sample, resamples=self.resamples)
        values = {f"retrieval/{self.name}_queries": float(len(queries))}
        return Measured({f"retrieval/{self.name}_{name}": score for name, score in scores.items()}, values=values)

    def _ranks(self, queries: Sequence[str], embedded: Embedded) -> NDArray[np.float64]:
        """At which place, from 1, the first wanted sentence comes; of equally near ones, the wanted comes last. *Shape:* (queries,)"""
        place = {text: number for number, text in enumerate(self.corpus)}
        same: dict[str, list[int]] = {}
        for text, number in place.items():
            same.setdefault(self._said[text], []).append(number)
        corpus = embedded.unit(self.corpus)
        ranks = np.empty(len(queries))
        for start in range(0, len(queries), _AT_ONCE):
            some = queries[start : start + _AT_ONCE]
            cosines = corpus[[place[text] for text in some]] @ corpus.T
            for row, text in enumerate(some):
                cosines[row, same[self._said[text]]] = -np.inf
                wanted = [place[other] for other in self.wanted[text]]
                others = np.delete(cosines[row], wanted)
                ranks[start + row] = 1 + np.count_nonzero(others >= cosines[row, wanted].max())
        return ranks
