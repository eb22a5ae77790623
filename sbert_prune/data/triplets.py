"""NLI rows as triplets of anchor, entailment and contradiction, and as samples of whole premises."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from sbert_prune.data.rows import Label, NliRow, take
from sbert_prune.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LABELS = {label: number for number, label in enumerate(Label)}
_BATCH_TRIPLETS = 4_096


class Triplet(NamedTuple):
    """A premise with an entailed and a contradictory hypothesis."""

    anchor: str
    entailment: str
    contradiction: str


class Triplets(Sequence[Triplet]):
    """Every entailment of a premise with one of the premise's contradictions in turn, in the rows' order.

    Args:
        rows: The rows, which are read when triplets are.
        indices: The rows of entailment and contradiction. *Shape:* (triplets, 2)
    """

    def __init__(self, rows: Sequence[NliRow], indices: NDArray[np.int64]) -> None:
        self._rows, self._indices = rows, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Triplet]:
        for start in range(0, len(self), _BATCH_TRIPLETS):
            yield from self[start : start + _BATCH_TRIPLETS]

    @overload
    def __getitem__(self, index: int) -> Triplet: ...
    @overload
    def __getitem__(self, index: slice) -> list[Triplet]: ...
    def __getitem__(self, index: int | slice) -> Triplet | list[Triplet]:
        if not isinstance(index, slice):
            return self[slice(index, index + 1 or None)][0]
        entailments, contradictions = (take(self._rows, self._indices[index, column].tolist()) for column in (0, 1))
        pairs = zip(entailments, contradictions, strict=True)
        return [
            Triplet(entailment.premise, entailment.hypothesis, contradiction.hypothesis)
            for entailment, contradiction in pairs
        ]


def triplets(rows: Sequence[NliRow]) -> Triplets:
    """Return the triplets of some rows. Raises DataError if no premise has both an entailment and a contradiction."""
    keys = _Keys.of(rows)
    indices = array("q")
    for group in _Premises.of(keys.premises):
        indices.extend(keys.pairs(group))
    if not indices:
        raise DataError(_no_triplets(keys))
    return Triplets(rows, np.frombuffer(indices, dtype=np.int64).reshape(-1, 2))


def anchors(rows: Sequence[NliRow], *, hard_negatives: bool) -> Sequence[Sequence[str]]:
    """Return the triplets of some rows; without hard negatives, where there is none, the pairs of all entailments.

    Raises DataError if no premise has both an entailment and a contradiction, or if no entailment is there at all.
    """
    try:
        return triplets(rows)
    except DataError:
        entailed = [] if hard_negatives else [row.sentences for row in rows if row.label is Label.ENTAILMENT]
        if not entailed:
            raise
        return entailed


def sample_by_premise(rows: Sequence[NliRow], max_rows: int, *, seed: int) -> list[NliRow]:
    """Return at most `max_rows` rows, in the file's order: whole premises, drawn at random, to keep triplets complete.

    A premise with more rows than still fit is skipped; if no premise fits, the first rows of the first one drawn are
    returned.
    """
    groups = _Premises.of(_Keys.of(rows).premises)
    drawn = list(range(len(groups)))
    random.Random(seed).shuffle(drawn)
    taken: list[int] = []
    for number in drawn:
        if len(taken) + len(group := groups[number]) <= max_rows:
            taken.extend(group.tolist())
    return take(rows, sorted(taken or groups[drawn[0]][:max_rows].tolist()))


class _Keys(NamedTuple):
    """Keys of the rows, in 17 bytes a row: digests of premise and hypothesis, and the label. *Shapes:* (rows,)"""

    premises: NDArray[np.uint64]
    hypotheses: NDArray[np.uint64]
    labels: NDArray[np.int8]

    @classmethod
    def of(cls, rows: Sequence[NliRow]) -> _Keys:
        premises, hypotheses = np.empty(len(rows), np.uint64), np.empty(len(rows), np.uint64)
        labels = np.empty(len(rows), np.int8)
        for index, row in enumerate(rows):
            premises[index], hypotheses[index], labels[index] = (
                _digest(row.premise),
                _digest(row.hypothesis),
                _LABELS[row.label],
            )
        return cls(premises, hypotheses, labels)

    def pairs(self, group: NDArray[np.int64]) -> list[int]:
        """Return the entailments of one premise, each followed by one of its contradictions in turn.

        A hypothesis that has both labels does not count as a contradiction.
        """
        entailments = group[self.labels[group] == _LABELS[Label.ENTAILMENT]].tolist()
        entailed = {int(self.hypotheses[index]) for index in entailments}
        contradicted = group[self.labels[group] == _LABELS[Label.CONTRADICTION]].tolist()
        contradictions = [index for index in contradicted if int(self.hypotheses[index]) not in entailed]
        if not contradictions:
            return []
        return [
            row for turn, index in enumerate(entailments) for row in (index, contradictions[turn % len(contradictions)])
        ]


@dataclass(frozen=True, slots=True)
class _Premises(Sequence["NDArray[np.int64]"]):
    """The rows of each premise, in the order of their first occurrence, without a list of millions of arrays.

    Attributes:
        order: The indices of the rows, grouped by premise. *Shape:* (rows,)
        starts: Where each premise's rows begin in `order`. *Shape:* (premises,)
        ends: Where they end. *Shape:* (premises,)
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, premises: NDArray[np.uint64]) -> _Premises:
        order = np.argsort(premises, kind="stable")
        between = np.flatnonzero(np.diff(premises[order])) + 1
        starts = np.concatenate([np.zeros(min(1, len(order)), dtype=np.int64), between])
        by_first = np.argsort(order[starts])
        ends = np.append(between, len(order))[: len(starts)]
        return cls(order, starts[by_first], ends[by_first])

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> NDArray[np.int64]:  # type: ignore[override]  # never sliced
        if number >= len(self.starts):
            raise IndexError(number)
        return self.order[self.starts[number] : self.ends[number]]


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _no_triplets(keys: _Keys) -> str:
    premises = len(np.unique(keys.premises))
    counts = {label: int((keys.labels == number).sum()) for label, number in _LABELS.items()}
    if not counts[Label.ENTAILMENT]:
        advice = "The loss mnrl learns from entailments, so it has nothing to learn from; use nli_loss=softmax"
    elif not counts[Label.CONTRADICTION]:
        advice = "Train on the entailments alone with nli_hard_negatives=false, or use nli_loss=softmax"
    else:
        advice = (
            "Give data in which premises come with an entailment and a contradiction, train on the entailments alone "
            "with nli_hard_negatives=false, or use nli_loss=softmax"
        )
    return (
        f"No triplet can be made of {premises:,} premises with {counts[Label.ENTAILMENT]:,} entailments and "
        f"{counts[Label.CONTRADICTION]:,} contradictions: no premise has both. {advice}."
    )
