"""NLI rows as triplets of anchor, entailment and contradiction, and as samples of whole premises."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from sbert_prune.errors import DataError
from sbert_prune.rows import Label, NliRow, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LABELS = {label: number for number, label in enumerate(Label)}
_AT_ONCE = 4_096


class Triplet(NamedTuple):
    """A premise with a hypothesis that follows from it and one that it rules out."""

    anchor: str
    entailment: str
    contradiction: str


class Triplets(Sequence[Triplet]):
    """Every entailment of a premise with one of the premise's contradictions in turn, in the rows' order.

    places: the rows of entailment and contradiction; the texts stay where the rows are. *Shape:* (triplets, 2)
    """

    def __init__(self, rows: Sequence[NliRow], places: NDArray[np.int64]) -> None:
        self._rows, self._places = rows, places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Triplet]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE]

    @overload
    def __getitem__(self, place: int) -> Triplet: ...
    @overload
    def __getitem__(self, place: slice) -> list[Triplet]: ...
    def __getitem__(self, place: int | slice) -> Triplet | list[Triplet]:
        if not isinstance(place, slice):
            return self[slice(place, place + 1 or None)][0]
        entailments, contradictions = (take(self._rows, self._places[place, side].tolist()) for side in (0, 1))
        pairs = zip(entailments, contradictions, strict=True)
        return [Triplet(first.premise, first.hypothesis, second.hypothesis) for first, second in pairs]


def triplets(rows: Sequence[NliRow]) -> Triplets:
    """The triplets that some rows make. Raises DataError when no premise has both an entailment and a contradiction."""
    keys = _Keys.of(rows)
    places = [pair for group in keys.by_premise() for pair in keys.pairs(group)]
    if not places:
        raise DataError(_no_triplets(keys))
    return Triplets(rows, np.array(places, dtype=np.int64))


def sample_by_premise(rows: Sequence[NliRow], max_rows: int, *, seed: int) -> list[NliRow]:
    """At most `max_rows` rows, in the file's order: whole premises, drawn in a random order, so that triplets survive.

    A premise with more rows than are left to take is passed over; if that is every premise, the first drawn is cut.
    """
    groups = _Keys.of(rows).by_premise()
    random.Random(seed).shuffle(groups)
    taken: list[int] = []
    for group in groups:
        if len(taken) + len(group) <= max_rows:
            taken.extend(group.tolist())
    return take(rows, sorted(taken or groups[0][:max_rows].tolist()))


class _Keys(NamedTuple):
    """What tells the rows apart, in 17 bytes a row: digests of premise and hypothesis, and the label. *Shapes:* (rows,)"""

    premises: NDArray[np.uint64]
    hypotheses: NDArray[np.uint64]
    labels: NDArray[np.int8]

    @classmethod
    def of(cls, rows: Sequence[NliRow]) -> _Keys:
        premises, hypotheses = np.empty(len(rows), np.uint64), np.empty(len(rows), np.uint64)
        labels = np.empty(len(rows), np.int8)
        for place, row in enumerate(rows):
            premises[place], hypotheses[place], labels[place] = _digest(row.premise), _digest(row.hypothesis), _LABELS[row.label]
        return cls(premises, hypotheses, labels)

    def by_premise(self) -> list[NDArray[np.int64]]:
        """The rows of each premise, in the order in which premises and rows first come."""
        order = np.argsort(self.premises, kind="stable")
        ends = np.flatnonzero(np.diff(self.premises[order])) + 1
        groups = np.split(order, ends) if len(order) else []
        return sorted(groups, key=lambda group: int(group[0]))

    def pairs(self, group: NDArray[np.int64]) -> list[tuple[int, int]]:
        """The entailments of one premise, each with a contradiction in turn; a hypothesis that is both is no contradiction."""
        entailments = group[self.labels[group] == _LABELS[Label.ENTAILMENT]].tolist()
        entailed = {int(self.hypotheses[place]) for place in entailments}
        contradicted = group[self.labels[group] == _LABELS[Label.CONTRADICTION]].tolist()
        contradictions = [place for place in contradicted if int(self.hypotheses[place]) not in entailed]
        return [(place, contradictions[turn % len(contradictions)]) for turn, place in enumerate(entailments)] if contradictions else []


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _no_triplets(keys: _Keys) -> str:
    premises = len(np.unique(keys.premises))
    counts = {label: int((keys.labels == number).sum()) for label, number in _LABELS.items()}
    return (
        f"No triplet can be made of {premises:,} premises with {counts[Label.ENTAILMENT]:,} entailments and "
        f"{counts[Label.CONTRADICTION]:,} contradictions: "
        "no premise has both. Give data in which premises come with an entailment and a contradiction, or use the softmax loss."
    )
