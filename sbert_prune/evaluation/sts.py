"""Semantic textual similarity: how well the similarity of two embeddings orders pairs as people do."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

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
_LONGEST = 80  # of a genre in a metric's name, which has 250 characters in all


@dataclass(frozen=True)
class StsMeasure:
    """One split of STS pairs. prefix: of its metrics, such as sts_test.  what: for people.

    Raises DataError for pairs that nothing can correlate with.
    """

    prefix: str
    rows: Sequence[StsRow]
    what: str
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        check_pairs(self.rows, self.what)

    @cached_property
    def gold(self) -> NDArray[np.float64]:
        """What people say, 0 to 1. *Shape:* (pairs,)"""
        return np.array([row.score for row in self.rows], dtype=np.float64)

    @cached_property
    def sample(self) -> str:
        """Names the pairs, so that models are compared on the same ones only."""
        return hashlib.sha256("\0".join(cell for row in self.rows for cell in row.content()).encode()).hexdigest()[:16]

    def texts(self) -> Iterable[str]:
        """Both sentences of every pair."""
        return (text for row in self.rows for text in row.sentences)

    def cosines(self, embedded: Embedded) -> NDArray[np.float64]:
        """Cosine similarity of each pair. *Shape:* (pairs,)"""
        return _pair_cosines(embedded, [row.sentences for row in self.rows])

    def measure(self, embedded: Embedded) -> Measured:
        """Spearman and Pearson by cosine with their intervals, by three other similarities without, and by genre and file.

        Raises RoundTripError where all pairs come out equally similar.
        """
        cosines = self.cosines(embedded)
        if np.ptp(cosines) == 0:
            raise RoundTripError(
                f"The model gives every pair of {self.what} the same similarity, so it orders nothing. Train it again."
            )
        found = _correlations(cosines, self.gold, self.sample, self.resamples)
        values = {f"{self.prefix}/num_pairs": float(len(self.rows))}
        for name, similarity in _other_similarities(*self._raw(embedded)).items():
            values[f"{self.prefix}/spearman_{name}"] = _single(spearman, similarity, self.gold)
            values[f"{self.prefix}/pearson_{name}"] = _single(correlate, similarity, self.gold)
        details, notes = self._by_genre(cosines)
        return Measured(
            {f"{self.prefix}/{name}_cosine": score for name, score in found.items()}, details, _finite(values), notes
        )

    def _raw(self, embedded: Embedded) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        left, right = (embedded.of([row.sentences[side] for row in self.rows]).astype(np.float64) for side in (0, 1))
        return left, right

    def _by_genre(self, cosines: NDArray[np.float64]) -> tuple[dict[str, Score], tuple[str, ...]]:
        """Spearman within each genre and file that is large enough and has different scores."""
        details: dict[str, Score] = {}
        passed_over: list[str] = []
        called: list[str] = []
        for name, places in _genres(self.rows).items():
            if len(places) == len(self.rows):
                continue
            gold, predicted = self.gold[places], cosines[places]
            if len(places) < _FEWEST_OF_A_GENRE or np.ptp(gold) == 0 or np.ptp(predicted) == 0:
                passed_over.append(f"{name} ({len(places)})")
                continue
            score = _correlations(predicted, gold, f"{self.sample} {name}", min(self.resamples, 2000), pearson=False)[
                "spearman"
            ]
            metric = _unique(f"{self.prefix}/{_metric_name(name)}", "_spearman_cosine", details)
            details[metric] = score
            called += (
                [f"{name} is {metric}"] if metric != f"{self.prefix}/{name.replace(' ', '-')}_spearman_cosine" else []
            )
        notes = [f"{self.what}: too few pairs, or no variation, in {_some(passed_over)}"] if passed_over else []
        notes += [f"{self.what}: what the names of metrics cannot hold: {_some(called)}"] if called else []
        return details, tuple(notes)


def evaluate_sts(model: SentenceTransformer, rows: Sequence[StsRow], what: str, *, resamples: int = 2000) -> Score:
    """Spearman of a model's cosines on checked pairs, with its interval; each distinct sentence is embedded once.

    Raises DataError for pairs without variation, RoundTripError for non-finite or collapsed embeddings.
    """
    measure = StsMeasure("sts", rows, what, resamples)
    return measure.measure(embed_once(model, measure.texts(), what)).scores["sts/spearman_cosine"]


def pair_cosines(model: SentenceTransformer, rows: Sequence[StsRow], what: str) -> NDArray[np.float64]:
    """Cosine similarity of each pair. *Shape:* (pairs,)"""
    pairs = [row.sentences for row in rows]
    return _pair_cosines(embed_once(model, (text for pair in pairs for text in pair), what), pairs)


def _pair_cosines(embedded: Embedded, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """A sentence and itself have exactly 1: rounding must not rank them."""
    left, right = (embedded.unit([pair[side] for pair in pairs]) for side in (0, 1))
    found = np.clip(_dot(left, right), -1.0, 1.0)
    found[[one == two for one, two in pairs]] = 1.0
    return found


def _correlations(
    predicted: NDArray[np.float64], gold: NDArray[np.float64], sample: str, resamples: int, *, pearson: bool = True
) -> dict[str, Score]:
    statistics: dict[str, Statistic] = {"spearman": ResampledSpearman(predicted, gold)}
    if pearson:
        statistics["pearson"] = ResampledPearson(predicted, gold)
    return resample(statistics, len(gold), sample, resamples=resamples)


def _dot(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (left * right).sum(axis=1)
    return found


def _other_similarities(left: NDArray[np.float64], right: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {
        "dot": _dot(left, right),
        "euclidean": -np.linalg.norm(left - right, axis=1),
        "manhattan": -np.abs(left - right).sum(axis=1),
    }


def _single(correlation: object, predicted: NDArray[np.float64], gold: NDArray[np.float64]) -> float:
    return float(correlation(predicted[None], gold[None])[0])  # type: ignore[operator]  # one of the two above


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _genres(rows: Sequence[StsRow]) -> dict[str, list[int]]:
    """The places of each genre's pairs, and of each file's within it."""
    found: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for name in filter(None, dict.fromkeys((row.genre, f"{row.genre} {row.file}".strip() if row.file else ""))):
            found.setdefault(name, []).append(place)
    return found


def _unique(stem: str, ending: str, taken: Container[str]) -> str:
    """Two genres may differ in what a metric's name cannot hold."""
    names = (f"{stem}{'' if number == 1 else f'-{number}'}{ending}" for number in count(1))
    return next(name for name in names if name not in taken)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _metric_name(name: str) -> str:
    bare = "".join(
        character for character in name if unicodedata.category(character)[0] != "M"
    )  # vowel signs are no letters to MLflow
    return re.sub(r"[^\w.-]+", "-", bare)[:_LONGEST].strip("-") or "unnamed"
