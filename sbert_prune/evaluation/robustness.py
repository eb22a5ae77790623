"""Robustness: what a model's similarities do when one sentence of each pair is changed a little."""

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

_FEWEST_PAIRS = 20  # with fewer, an interval is as wide as all that is to be seen
_ALIKE = 0.6  # of the gold score: "roughly equivalent" and better, 3 of 5; what was not alike before can hardly be less alike
_RESAMPLES = 2000
_TO_TELL_THE_LANGUAGE = 1000  # pairs: a few dozen may lack the words that tell it
_TIE = 1e-6  # two cosines that differ by what float32 leaves


LESS_IS_BETTER = frozenset(f"robustness/{name}_drop" for name, kind in PERTURBATIONS.items() if kind.keeps_meaning)
"""The metrics of which a smaller value is the better one."""

BY_SPREAD = frozenset(f"robustness/{name}_drop" for name, kind in PERTURBATIONS.items() if not kind.keeps_meaning)
"""Drops of a cosine: they depend on how widely a model spreads its cosines, so two models are compared by `_noticed` instead."""


@dataclass(frozen=True)
class _Changed:
    """The pairs that a perturbation reaches. sentences: what becomes of their second ones."""

    rows: Sequence[StsRow]
    sentences: Sequence[str]


@dataclass(frozen=True)
class RobustnessMeasure:
    """Pairs of one split of which the second sentences are disturbed.

    what: for people.  num_pairs: at most so many are taken, by their content and not by their place.
    """

    rows: Sequence[StsRow]
    what: str
    num_pairs: int

    @cached_property
    def chosen(self) -> list[StsRow]:
        """The pairs that are disturbed, in an order of their own."""
        return heapq.nsmallest(self.num_pairs, self.rows, key=_digest)

    @cached_property
    def language(self) -> str | None:
        """The language of the pairs, where it can be told."""
        some = heapq.nsmallest(max(self.num_pairs, _TO_TELL_THE_LANGUAGE), self.rows, key=_digest)
        return language_of(text for row in some for text in row.sentences)

    @cached_property
    def changed(self) -> dict[str, _Changed]:
        """The pairs of each perturbation: of one that changes the meaning, only those whose sentences are alike before."""
        found = {}
        for kind, perturbation in PERTURBATIONS.items():
            change = perturbation.change_for(self.language)
            rows = [row for row in self.chosen if perturbation.keeps_meaning or row.score >= _ALIKE]
            pairs = [
                (row, sentence)
                for row in rows
                if change is not None and (sentence := change(row.sentence2)) is not None
            ]
            found[kind] = _Changed([row for row, _ in pairs], [sentence for _, sentence in pairs])
        return found

    def texts(self) -> Iterable[str]:
        """Both sentences of the pairs that are disturbed, and all that becomes of the second ones."""
        return chain.from_iterable(
            (*row.sentences, text) for found in self._enough().values() for row, text in _pairs(found)
        )

    def measure(self, embedded: Embedded) -> Measured:
        """For each perturbation of 20 pairs and more: `robustness/NAME_drop` with its interval, `robustness/NAME_affected` = pairs.

        One that keeps the meaning: the drop is that of Spearman with the gold scores, and less is better.
        One that changes it: the drop is that of the mean cosine, and more is better; `robustness/NAME_noticed` (0 to 1) is the share of
        pairs whose first sentence is nearer to the second as it was than to what it became, ties as half. Unlike a cosine's drop it
        does not depend on how widely a model spreads its cosines.
        """
        found, constant = Measured(notes=self._notes()), []
        for kind, changed in self._enough().items():
            scores = self._scores(kind, changed, embedded)
            if not all(map(_is_known, scores.values())):
                constant.append(kind)
                continue
            named = {f"robustness/{kind}_{name}": score for name, score in scores.items()}
            found |= Measured(named, values={f"robustness/{kind}_affected": float(len(changed.rows))})
        if constant:
            reason = "all pairs have the same score or the same similarity, so there is no order to lose"
            found |= Measured(notes=(f"{self.what}: no robustness to {', '.join(constant)}: {reason}.",))
        return found

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
        return {kind: found for kind, found in self.changed.items() if len(found.rows) >= _FEWEST_PAIRS}

    def _notes(self) -> tuple[str, ...]:
        """What was left out, and why."""
        unknown = [
            kind for kind, perturbation in PERTURBATIONS.items() if perturbation.change_for(self.language) is None
        ]
        few = {
            kind: len(found.rows)
            for kind, found in self.changed.items()
            if kind not in unknown and len(found.rows) < _FEWEST_PAIRS
        }
        notes = [
            f"{self.what}: robustness to {kind} is not measured, because the pairs' language is none of those that it is known for "
            f"({', '.join(sorted(PERTURBATIONS[kind].by_language))})."
            for kind in unknown
        ]
        if few:
            counts = ", ".join(f"{kind} ({num})" for kind, num in few.items())
            notes.append(
                f"{self.what}: robustness is measured on {_FEWEST_PAIRS} pairs and more; a change reaches too few with {counts}."
            )
        return tuple(notes)

    def _sample(self, kind: str, changed: _Changed) -> str:
        """Names the pairs and what became of them, so that models are compared on the same ones only."""
        content = "\0".join(cell for row, text in _pairs(changed) for cell in (*row.content(), text))
        return f"{kind} of {hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _digest(row: StsRow) -> bytes:
    return hashlib.blake2b("\0".join(row.content()).encode(), digest_size=16).digest()


def _pairs(changed: _Changed) -> Iterable[tuple[StsRow, str]]:
    return zip(changed.rows, changed.sentences, strict=True)


def _cosines(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.einsum("ij,ij->i", left, right)
    return found


def _spearman_drop(
    clean: NDArray[np.float64], disturbed: NDArray[np.float64], gold: NDArray[np.float64]
) -> dict[str, Statistic]:
    before, after = ResampledSpearman(clean, gold), ResampledSpearman(disturbed, gold)
    return {"drop": lambda counts: before(counts) - after(counts)}


def _cosine_drop(drops: NDArray[np.float64]) -> dict[str, Statistic]:
    noticed = np.where(np.abs(drops) <= _TIE, 0.5, drops > 0)
    return {"drop": mean_of(drops), "noticed": mean_of(noticed)}


def _is_known(score: Score) -> bool:
    """Whether there is a number, and an interval around it."""
    return bool(np.isfinite(score.value)) and not np.isnan(score.draws).all()
