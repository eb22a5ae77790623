"""Semantic textual similarity: correlation of embedding similarities with human scores."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import regex

from sbert_prune.data.sts import check_pairs
from sbert_prune.errors import RoundTripError
from sbert_prune.evaluation.bootstrap import RESAMPLES, Score, resample
from sbert_prune.evaluation.correlation import ResampledPearson, ResampledSpearman, correlate, spearman
from sbert_prune.evaluation.embeddings import Embedded, embed_once
from sbert_prune.evaluation.measures import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import StsRow
    from sbert_prune.evaluation.bootstrap import Statistic

_FEWEST_OF_A_GENRE = 20
_SHOWN = 10
_LONGEST = 80  # characters of a genre in a metric name, which can have 250 in total


@dataclass(frozen=True)
class StsMeasure:
    """Scores a model on one split of STS pairs.

    Attributes:
        prefix: Prefix of the metric names, such as sts_test.
        rows: The pairs.
        what: Name of the pairs in messages.
        resamples: Number of bootstrap resamples for the intervals.

    Raises:
        DataError: The pairs have no variation, so nothing can correlate with them.
    """

    prefix: str
    rows: Sequence[StsRow]
    what: str
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        check_pairs(self.rows, self.what)

    @cached_property
    def gold(self) -> NDArray[np.float64]:
        """Return the human scores, 0 to 1. *Shape:* (pairs,)"""
        return np.array([row.score for row in self.rows], dtype=np.float64)

    @cached_property
    def sample(self) -> str:
        """Return an identifier of the pairs, so that models are compared only on the same ones."""
        return hashlib.sha256("\0".join(cell for row in self.rows for cell in row.content()).encode()).hexdigest()[:16]

    def texts(self) -> Iterable[str]:
        """Return both sentences of every pair."""
        return (text for row in self.rows for text in row.sentences)

    def cosines(self, embedded: Embedded) -> NDArray[np.float64]:
        """Return the cosine similarity of each pair. *Shape:* (pairs,)"""
        return _pair_cosines(embedded, [row.sentences for row in self.rows])

    def measure(self, embedded: Embedded) -> Measured:
        """Return Spearman and Pearson of the cosines with intervals, and without of three other similarities.

        Genres and files get a Spearman of the cosines each.

        Raises RoundTripError if all pairs get the same similarity.
        """
        cosines = self.cosines(embedded)
        if np.ptp(cosines) == 0:
            raise RoundTripError(
                f"The model gives every pair of {self.what} the same similarity, so it orders nothing. Train it again."
            )
        correlations = _correlations(cosines, self.gold, self.sample, self.resamples)
        values = {f"{self.prefix}/num_pairs": float(len(self.rows))}
        for name, similarity in _other_similarities(*self._raw(embedded)).items():
            for kind, correlation in (("spearman", spearman), ("pearson", correlate)):
                value = float(correlation(similarity[None], self.gold[None])[0])
                values |= {f"{self.prefix}/{kind}_{name}": value} if np.isfinite(value) else {}
        details, notes = self._by_genre(cosines)
        return Measured(
            {f"{self.prefix}/{name}_cosine": score for name, score in correlations.items()},
            details,
            values,
            notes,
        )

    def _raw(self, embedded: Embedded) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        left, right = (embedded.of([row.sentences[side] for row in self.rows]).astype(np.float64) for side in (0, 1))
        return left, right

    def _by_genre(self, cosines: NDArray[np.float64]) -> tuple[dict[str, Score], tuple[str, ...]]:
        """Return Spearman within each genre and file that has enough pairs and different scores."""
        details: dict[str, Score] = {}
        skipped: list[str] = []
        renamed: list[str] = []
        for name, places in _genres(self.rows).items():
            if len(places) == len(self.rows):
                continue
            gold, predicted = self.gold[places], cosines[places]
            if len(places) < _FEWEST_OF_A_GENRE or np.ptp(gold) == 0 or np.ptp(predicted) == 0:
                skipped.append(f"{name} ({len(places)})")
                continue
            score = _correlations(predicted, gold, f"{self.sample} {name}", min(self.resamples, 2000), pearson=False)[
                "spearman"
            ]
            metric = _unique(f"{self.prefix}/{_metric_name(name)}", "_spearman_cosine", details)
            details[metric] = score
            renamed += (
                [f"{name} is {metric}"] if metric != f"{self.prefix}/{name.replace(' ', '-')}_spearman_cosine" else []
            )
        notes = [f"{self.what}: too few pairs, or no variation, in {_shortened(skipped)}"] if skipped else []
        notes += [f"{self.what}: names that do not fit into a metric name: {_shortened(renamed)}"] if renamed else []
        return details, tuple(notes)


def evaluate_sts(model: SentenceTransformer, rows: Sequence[StsRow], what: str, *, resamples: int = 2000) -> Score:
    """Return Spearman of a model's cosines on checked pairs, with its interval.

    Each distinct sentence is embedded once.

    Raises DataError for pairs without variation, RoundTripError for non-finite or collapsed embeddings.
    """
    measure = StsMeasure("sts", rows, what, resamples)
    return measure.measure(embed_once(model, measure.texts(), what)).scores["sts/spearman_cosine"]


def pair_cosines(model: SentenceTransformer, rows: Sequence[StsRow], what: str) -> NDArray[np.float64]:
    """Return the cosine similarity of each pair. *Shape:* (pairs,)"""
    pairs = [row.sentences for row in rows]
    return _pair_cosines(embed_once(model, (text for pair in pairs for text in pair), what), pairs)


def _pair_cosines(embedded: Embedded, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """Return the cosines of pairs; exactly 1 for a sentence and itself, so that rounding does not rank such pairs."""
    left, right = (embedded.unit([pair[side] for pair in pairs]) for side in (0, 1))
    cosines = np.clip(_dot(left, right), -1.0, 1.0)
    cosines[[first == second for first, second in pairs]] = 1.0
    return cosines


def _correlations(
    predicted: NDArray[np.float64], gold: NDArray[np.float64], sample: str, resamples: int, *, pearson: bool = True
) -> dict[str, Score]:
    statistics: dict[str, Statistic] = {"spearman": ResampledSpearman(predicted, gold)}
    if pearson:
        statistics["pearson"] = ResampledPearson(predicted, gold)
    return resample(statistics, len(gold), sample, resamples=resamples)


def _dot(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    products: NDArray[np.float64] = (left * right).sum(axis=1)
    return products


def _other_similarities(left: NDArray[np.float64], right: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {
        "dot": _dot(left, right),
        "euclidean": -np.linalg.norm(left - right, axis=1),
        "manhattan": -np.abs(left - right).sum(axis=1),
    }


def _genres(rows: Sequence[StsRow]) -> dict[str, list[int]]:
    """Return the indices of the pairs of each genre, and of each file within a genre."""
    genres: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        for name in filter(None, dict.fromkeys((row.genre, f"{row.genre} {row.file}".strip() if row.file else ""))):
            genres.setdefault(name, []).append(index)
    return genres


def _unique(stem: str, ending: str, taken: Container[str]) -> str:
    """Return a name that is not taken: two genres may differ only in characters that a metric name cannot contain."""
    names = (f"{stem}{'' if number == 1 else f'-{number}'}{ending}" for number in count(1))
    return next(name for name in names if name not in taken)


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _metric_name(name: str) -> str:
    # MLflow does not accept combining marks, such as vowel signs
    bare = regex.sub(r"\p{M}", "", name)
    return re.sub(r"[^\w.-]+", "-", bare)[:_LONGEST].strip("-") or "unnamed"
