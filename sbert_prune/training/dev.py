"""The dev score of a model that is still in training: what decides which weights are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.evaluation.correlation import spearman
from sbert_prune.training.batches import tokenize_rows
from sbert_prune.training.embedding import embed_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow
    from sbert_prune.training.batches import Examples
    from sbert_prune.training.device import Hardware


@dataclass(frozen=True)
class DevPairs:
    """The dev pairs, tokenised, with their scores. *Shape of gold:* (pairs,)"""

    examples: Examples
    gold: NDArray[np.float64]

    @classmethod
    def of(cls, model: SentenceTransformer, rows: Sequence[StsRow]) -> DevPairs:
        """Tokenise checked pairs."""
        examples = tokenize_rows(model, [(row.sentence1, row.sentence2) for row in rows])
        return cls(examples, np.array([row.score for row in rows], dtype=np.float64))

    def with_examples(self, examples: Examples) -> DevPairs:
        """The same pairs with their pieces called by other numbers."""
        return replace(self, examples=examples)

    def score(self, model: SentenceTransformer, hardware: Hardware) -> float | None:
        """Spearman of cosine similarity, -1 to 1, in the precision of the training; None for a model without any order (collapsed).

        The model is left in training mode.
        """
        model.eval()
        vectors = embed_tokens(model, self.examples.tokens, hardware)[-1].astype(np.float64)
        model.train()
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        left, right = vectors[self.examples.index[:, 0]], vectors[self.examples.index[:, 1]]
        cosines = np.clip((left * right).sum(axis=1), -1.0, 1.0)
        cosines[self.examples.index[:, 0] == self.examples.index[:, 1]] = 1.0  # rounding must not rank a sentence and itself
        found = float(spearman(cosines[None], self.gold[None])[0])
        return found if np.isfinite(found) else None
