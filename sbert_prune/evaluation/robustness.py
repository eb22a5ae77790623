"""Robustness: the effect of small changes of one sentence of each pair on a model's similarities."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.evaluation.bootstrap import mean_of, resample
from sbert_prune.evaluation.correlation import ResampledSpearman
from sbert_prune.evaluation.measures import Measured
from sbert_prune.evaluation.perturbations import PERTURBATIONS
from sbert_prune.evaluation.perturbations.language import language_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbert_prune.data.rows import StsRow
    from sbert_prune.evaluation.bootstrap import Score, Statistic
    from sbert_prune.evaluation.embeddings import Embedded

_FEWEST_PAIRS = 20  # with fewer, the interval is wider than any effect
_ALIKE = 0.6  # minimum gold score, 3 of 5 ("roughly equivalent"): the cosine of a dissimilar pair can hardly drop
_RESAMPLES = 2000
_PAIRS_FOR_LANGUAGE = 1000  # a few dozen pairs may lack the function words
_TIE = 1e-6  # cosines that differ by less are equal up to float32 rounding


BY_SPREAD = frozenset(f"robustness/{name}_drop" for name, kind in PERTURBATIONS.items() if not kind.keeps_meaning)
"""Drops of a cosine. They depend on the spread of a model's cosines, so models are compared by `_noticed` instead."""


@dataclass(frozen=True)
class _Changed:
    """The pairs that a perturbation changes. sentences: their changed second sentences."""

    rows: Sequence[StsRow]
    sentences: Sequence[str]


@dataclass(frozen=True)
class RobustnessMeasure:
    """Measures robustness on pairs of one split, whose second sentences are changed.

    Attributes:
        rows: The pairs.
        what: Name of the pairs in notes.
        num_pairs: Maximum number of pairs to use; the choice depends on their content, not on their order.
    """

    rows: Sequence[StsRow]
    what: str
    num_pairs: int

    @cached_property
    def chosen(self) -> list[StsRow]:
        """Return the pairs to change, sorted by a digest of their content."""
        return heapq.nsmallest(self.num_pairs, self.rows, key=_digest)

    @cached_property
    def language(self) -> str | None:
        """Return the language of the pairs, or None if it cannot be detected."""
        sample = heapq.nsmallest(max(self.num_pairs, _PAIRS_FOR_LANGUAGE), self.rows, key=_digest)
        return language_of(text for row in sample for text in row.sentences)

    @cached_property
    def changed(self) -> dict[str, _Changed]:
        """Return the changed pairs by perturbation. One that changes the meaning is applied only to similar pairs."""
        changed_pairs = {}
        for kind, perturbation in PERTURBATIONS.items():
            change = perturbation.change_for(self.language)
            rows = [row for row in self.chosen if perturbation.keeps_meaning or row.score >= _ALIKE]
            pairs = [
                (row, sentence)
                for row in rows
                if change is not None and (sentence := change(row.sentence2)) is not None
            ]
            changed_pairs[kind] = _Changed([row for row, _ in pairs], [sentence for _, sentence in pairs])
        return changed_pairs

    def texts(self) -> Iterable[str]:
        """Return both sentences of the chosen pairs, and all changed second sentences."""
        return chain.from_iterable(
            (*row.sentences, text) for changed in self._enough().values() for row, text in _pairs(changed)
        )

    def measure(self, embedded: Embedded) -> Measured:
        """Return the results of each perturbation that changes 20 pairs or more.

        `robustness/NAME_drop`, with its interval, is the loss of Spearman for a perturbation that keeps the meaning
        (lower is better), and the loss of the mean cosine for one that changes it (higher is better).
        `robustness/NAME_affected` is the number of changed pairs. For a perturbation that changes the meaning,
        `robustness/NAME_noticed` (0 to 1) is the share of pairs whose first sentence is nearer to the original second
        sentence than to the changed one, ties counted as half. Unlike the drop of the cosine it does not depend on the
        spread of a model's cosines.
        """
        results, constant = Measured(notes=self._notes()), []
        for kind, changed in self._enough().items():
            scores = self._scores(kind, changed, embedded)
            if not all(map(_is_finite, scores.values())):
                constant.append(kind)
                continue
            named = {f"robustness/{kind}_{name}": score for name, score in scores.items()}
            results |= Measured(named, values={f"robustness/{kind}_affected": float(len(changed.rows))})
        if constant:
            reason = "all pairs have the same score or the same similarity, so there is no order to lose"
            results |= Measured(notes=(f"{self.what}: no robustness to {', '.join(constant)}: {reason}.",))
        return results

    def _scores(self, kind: str, changed: _Changed, embedded: Embedded) -> dict[str, Score]:
        first, second = (embedded.unit([row.sentences[side] for row in changed.rows]) for side in (0, 1))
        clean, disturbed = _cosines(first, second), _cosines(first, embedded.unit(changed.sentences))
        if PERTURBATIONS[kind].keeps_meaning:
            statistics = _spearman_drop(
                clean, disturbed, np.array([row.score for row in changed.rows], dtype=np.float64)
            )
        else:
            statistics = _cosine_drop(clean - disturbed)
        return resample(statistics, len(changed.rows), self._sample(kind, changed), resamples=_RESAMPLES)

    def _enough(self) -> dict[str, _Changed]:
        return {kind: changed for kind, changed in self.changed.items() if len(changed.rows) >= _FEWEST_PAIRS}

    def _notes(self) -> tuple[str, ...]:
        """Return notes on perturbations that were not measured, with the reason."""
        unsupported = [
            kind for kind, perturbation in PERTURBATIONS.items() if perturbation.change_for(self.language) is None
        ]
        few = {
            kind: len(changed.rows)
            for kind, changed in self.changed.items()
            if kind not in unsupported and len(changed.rows) < _FEWEST_PAIRS
        }
        notes = [
            f"{self.what}: robustness to {kind} is not measured, because the pairs' language is not a supported one "
            f"({', '.join(sorted(PERTURBATIONS[kind].by_language))})."
            for kind in unsupported
        ]
        if few:
            counts = ", ".join(f"{kind} ({num})" for kind, num in few.items())
            notes.append(
                f"{self.what}: robustness is measured on {_FEWEST_PAIRS} pairs and more; too few pairs are changed by "
                f"{counts}."
            )
        return tuple(notes)

    def _sample(self, kind: str, changed: _Changed) -> str:
        """Return an identifier of the pairs and their changes, so that models are compared only on the same ones."""
        content = "\0".join(cell for row, text in _pairs(changed) for cell in (*row.content(), text))
        return f"{kind} of {hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _digest(row: StsRow) -> bytes:
    return hashlib.blake2b("\0".join(row.content()).encode(), digest_size=16).digest()


def _pairs(changed: _Changed) -> Iterable[tuple[StsRow, str]]:
    return zip(changed.rows, changed.sentences, strict=True)


def _cosines(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = np.einsum("ij,ij->i", left, right)
    return cosines


def _spearman_drop(
    clean: NDArray[np.float64], disturbed: NDArray[np.float64], gold: NDArray[np.float64]
) -> dict[str, Statistic]:
    before, after = ResampledSpearman(clean, gold), ResampledSpearman(disturbed, gold)
    return {"drop": lambda counts: before(counts) - after(counts)}


def _cosine_drop(drops: NDArray[np.float64]) -> dict[str, Statistic]:
    noticed = np.where(np.abs(drops) <= _TIE, 0.5, drops > 0)
    return {"drop": mean_of(drops), "noticed": mean_of(noticed)}


def _is_finite(score: Score) -> bool:
    """Return whether a score has a value and an interval."""
    return bool(np.isfinite(score.value)) and not np.isnan(score.draws).all()
