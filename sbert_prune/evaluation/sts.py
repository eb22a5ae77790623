"""Semantic textual similarity: cosine similarity of embeddings against people's scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.data.sts import check_pairs
from sbert_prune.evaluation.significance import Interval, bootstrap_spearman, correlate
from sbert_prune.sentence import check_embeddings, embed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.rows import StsRow


@dataclass(frozen=True, slots=True)
class StsScore:
    """Spearman with its interval, and Pearson, of one split."""

    spearman: Interval
    pearson: float
    num_pairs: int


def evaluate_sts(model: SentenceTransformer, rows: Sequence[StsRow], what: str) -> StsScore:
    """Score a sentence model on checked pairs; each distinct sentence is embedded once.

    Raises DataError for pairs without variation, RoundTripError for non-finite or collapsed embeddings.
    """
    check_pairs(rows, what)
    predicted = pair_cosines(model, rows, what)
    gold = np.array([row.score for row in rows], dtype=np.float64)
    return StsScore(bootstrap_spearman(predicted, gold), float(correlate(predicted[None], gold[None])[0]), len(rows))


def pair_cosines(model: SentenceTransformer, rows: Sequence[StsRow], what: str) -> NDArray[np.float64]:
    """Cosine similarity of each pair. *Shape:* (pairs,)"""
    numbers: dict[str, int] = {}
    index = np.array([[numbers.setdefault(text, len(numbers)) for text in (row.sentence1, row.sentence2)] for row in rows])
    vectors = embed(model, list(numbers))
    check_embeddings(vectors, f"The model, on {what},")
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines: NDArray[np.float64] = (unit[index[:, 0]] * unit[index[:, 1]]).sum(axis=1)
    return cosines
