"""Retrieval on STS pairs: how often the sentence with a high gold score is the nearest of all."""

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
"""Minimum gold score (0 to 1) of a pair whose second sentence a search for the first should find.

It corresponds to 4 of 5, "mostly equivalent".
"""

_FEWEST_QUERIES = 20
_QUERIES_AT_ONCE = 512  # queries whose cosines with the whole corpus are in memory at once


@dataclass(frozen=True)
class RetrievalMeasure:
    """Searches with each first sentence of a similar pair among all other sentences of the split.

    Attributes:
        name: Part of the metric names: `test` gives retrieval/test_recall_at_1 and retrieval/test_mrr.
        rows: The pairs.
        what: Name of the pairs in notes.
        resamples: Number of bootstrap resamples for the intervals.
    """

    name: str
    rows: Sequence[StsRow]
    what: str
    resamples: int = 2000

    @cached_property
    def corpus(self) -> list[str]:
        """Return all distinct sentences of the split."""
        return list(dict.fromkeys(text for row in self.rows for text in row.sentences))

    @cached_property
    def relevant(self) -> dict[str, set[str]]:
        """Return the relevant sentences of each query.

        Sentences that differ from the query only in case or punctuation are ignored: neither relevant nor competing.
        """
        relevant: dict[str, set[str]] = {}
        for row in self.rows:
            first, second = row.sentences
            if row.score >= ALIKE and self._normalised[first] != self._normalised[second]:
                relevant.setdefault(first, set()).add(second)
        return relevant

    @cached_property
    def _normalised(self) -> dict[str, str]:
        return {text: normalised(text) for text in self.corpus}

    def texts(self) -> Iterable[str]:
        """Return all sentences of the split."""
        return self.corpus

    def measure(self, embedded: Embedded) -> Measured:
        """Return recall@1 and mean reciprocal rank (MRR) with their intervals; a note if there are too few queries."""
        queries = list(self.relevant)
        if len(queries) < _FEWEST_QUERIES:
            count = f"{len(queries)} pairs score {ALIKE:g} or more (0 to 1) and differ in words"
            return Measured(notes=(f"{self.what}: retrieval needs {_FEWEST_QUERIES} queries, and {count}",))
        ranks = self._ranks(queries, embedded)
        sample = sha256("\0".join((*queries, *self.corpus)).encode()).hexdigest()[:16]
        statistics = {"recall_at_1": mean_of((ranks == 1).astype(np.float64)), "mrr": mean_of(1 / ranks)}
        scores = resample(statistics, len(queries), sample, resamples=self.resamples)
        values = {f"retrieval/{self.name}_queries": float(len(queries))}
        return Measured({f"retrieval/{self.name}_{name}": score for name, score in scores.items()}, values=values)

    def _ranks(self, queries: Sequence[str], embedded: Embedded) -> NDArray[np.float64]:
        """Return the rank, from 1, of the first relevant sentence; on a tie it comes last. *Shape:* (queries,)"""
        place = {text: number for number, text in enumerate(self.corpus)}
        equal_texts: dict[str, list[int]] = {}
        for text, number in place.items():
            equal_texts.setdefault(self._normalised[text], []).append(number)
        corpus = embedded.unit(self.corpus)
        ranks = np.empty(len(queries))
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            chunk = queries[start : start + _QUERIES_AT_ONCE]
            cosines = corpus[[place[text] for text in chunk]] @ corpus.T
            for row, text in enumerate(chunk):
                cosines[row, equal_texts[self._normalised[text]]] = -np.inf
                relevant = [place[other] for other in self.relevant[text]]
                competing = np.delete(cosines[row], relevant)
                ranks[start + row] = 1 + np.count_nonzero(competing >= cosines[row, relevant].max())
        return ranks
