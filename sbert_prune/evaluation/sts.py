"""Semantic textual similarity: cosine similarity of embeddings against people's scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.errors import DataError
from sbert_prune.evaluation.significance import Interval, bootstrap_spearman, correlate
from sbert_prune.sentence import check_embeddings, embed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow

_FEWEST_PAIRS = 3


@dataclass(frozen=True, slots=True)
class StsScore:
    """Spearman with its interval, and Pearson, of one split."""

    spearman: Interval
    pearson: float
    num_pairs: int


def check_pairs(rows: Sequence[StsRow], what: str) -> None:
    """Refuse pairs that no correlation can be computed on. Raises DataError."""
    if len(rows) < _FEWEST_PAIRS:
        raise DataError(f"{what} has {len(rows)} pairs; a correlation needs {_FEWEST_PAIRS} or more, a useful one hundreds.")
    if len({row.score for row in rows}) == 1:
        raise DataError(f"{what}: all {len(rows)} pairs have the score {rows[0].score:g}, so nothing can correlate with it. Check the score column.")


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
