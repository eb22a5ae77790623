"""Looks at a sentence model behind each of its layers."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.anatomy.attention import attention_entropy
from sbert_prune.anatomy.result import Anatomy, AtDepth
from sbert_prune.data.sts import check_pairs
from sbert_prune.errors import DataError
from sbert_prune.evaluation.bootstrap import Score, resample
from sbert_prune.evaluation.correlation import ResampledSpearman
from sbert_prune.evaluation.embeddings import Embedded
from sbert_prune.evaluation.geometry import Geometry
from sbert_prune.layer_analysis.profile import profile_layers
from sbert_prune.layer_analysis.similarity import linear_cka
from sbert_prune.models.sentence import check_embeddings, encoder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow

NUM_PAIRS = 200
_ATTENTION_SENTENCES = 128  # 64 pairs: each layer's attention is that of thousands of tokens then
_RESAMPLES = 2000


def look_at_layers(model: SentenceTransformer, dev: Sequence[StsRow], *, num_pairs: int = NUM_PAIRS) -> Anatomy:
    """Look at each layer on some of the dev pairs: those with the smallest SHA-256, whatever the order. The model stays as it was.

    dev: pairs that may choose; those of test only where nothing is chosen by what is seen.

    Raises DataError for pairs that nothing can correlate with, RoundTripError for a model whose embeddings are not finite or collapsed.
    """
    check_pairs(dev, "dev for a look at the layers")
    pairs = _Pairs(sorted(dev, key=lambda row: sha256("\0".join(row.content()).encode()).digest())[:num_pairs])
    if len(pairs.texts) < 2:
        raise DataError(
            "The pairs of dev hold one sentence alone, so no layer can tell sentences apart. Give pairs of different sentences."
        )
    profile = profile_layers(model, pairs.texts)
    check_embeddings(profile.vectors[-1], "The model, on dev for a look at its layers,")
    unit = [Embedded(pairs.texts, vectors).unit(pairs.texts) for vectors in profile.vectors]
    geometry = [Geometry.of(vectors) for vectors in unit]
    differ = [depth for depth, found in enumerate(geometry) if found.effective_rank > 0]
    exits = pairs.spearman({depth: unit[depth] for depth in differ})
    depths = tuple(
        AtDepth(_mean_cosine(unit[depth], unit[-1]), linear_cka(vectors, profile.vectors[-1]), exits.get(depth), geometry[depth])
        for depth, vectors in enumerate(profile.vectors)
    )
    shown = pairs.texts[:_ATTENTION_SENTENCES]
    attention = attention_entropy(model, shown)
    return Anatomy(
        depths=depths,
        influence=tuple(profile.influence.tolist()),
        attention=None if attention is None else tuple(attention.tolist()),
        num_pairs=len(pairs.rows),
        num_sentences=len(pairs.texts),
        num_attention_sentences=0 if attention is None else len(shown),
        notes=(f"{type(encoder_of(model)).__name__} does not show its attention, so its entropy is not known",)
        if attention is None
        else (),
    )


class _Pairs:
    """The pairs that are looked at."""

    def __init__(self, rows: Sequence[StsRow]) -> None:
        self.rows = rows
        self.gold = np.array([row.score for row in rows], dtype=np.float64)
        self.texts = list(dict.fromkeys(text for row in rows for text in row.sentences))
        place = {text: number for number, text in enumerate(self.texts)}
        self.left, self.right = ([place[row.sentences[side]] for row in rows] for side in (0, 1))

    def spearman(self, unit: dict[int, NDArray[np.float64]]) -> dict[int, Score]:
        """Score each depth's vectors on the same resamples; a depth that scores all pairs alike has no score."""
        cosines = {depth: np.einsum("ij,ij->i", vectors[self.left], vectors[self.right]) for depth, vectors in unit.items()}
        statistics = {str(depth): ResampledSpearman(found, self.gold) for depth, found in cosines.items()}
        sample = sha256("\0".join(cell for row in self.rows for cell in row.content()).encode()).hexdigest()[:16]
        scores = resample(statistics, len(self.rows), sample, resamples=_RESAMPLES)
        return {int(depth): score for depth, score in scores.items() if np.isfinite(score.value)}


def _mean_cosine(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float(np.einsum("ij,ij->i", left, right).mean())
