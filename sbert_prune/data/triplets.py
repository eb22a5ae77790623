"""NLI rows as triplets of anchor, entailment and contradiction, and as samples of whole premises."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from sbert_prune.errors import DataError
from sbert_prune.rows import Label, NliRow


class Triplet(NamedTuple):
    """A premise with a hypothesis that follows from it and one that it rules out."""

    anchor: str
    entailment: str
    contradiction: str


def triplets(rows: Sequence[NliRow]) -> list[Triplet]:
    """Every entailment of a premise with one of the premise's contradictions in turn, in the file's order.

    Raises DataError when no premise has both.
    """
    result = [triplet for premise, group in _by_premise(rows).items() for triplet in _of_premise(premise, [rows[index] for index in group])]
    if not result:
        raise DataError(_no_triplets(rows))
    return result


def sample_by_premise(rows: Sequence[NliRow], max_rows: int, *, seed: int) -> list[NliRow]:
    """At most `max_rows` rows, in the file's order: whole premises, drawn in a random order, so that triplets survive.

    A premise with more rows than are left to take is passed over; if that is every premise, the first drawn is cut.
    """
    groups = list(_by_premise(rows).values())
    random.Random(seed).shuffle(groups)
    taken: list[int] = []
    for group in groups:
        if len(taken) + len(group) <= max_rows:
            taken.extend(group)
    chosen = taken or groups[0][:max_rows]
    return [rows[index] for index in sorted(chosen)]


def _by_premise(rows: Sequence[NliRow]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.premise, []).append(index)
    return groups


def _of_premise(premise: str, rows: Sequence[NliRow]) -> list[Triplet]:
    entailments = _hypotheses(rows, Label.ENTAILMENT)
    contradictions = [text for text in _hypotheses(rows, Label.CONTRADICTION) if text not in entailments]
    if not contradictions:
        return []
    return [Triplet(premise, text, contradictions[turn % len(contradictions)]) for turn, text in enumerate(entailments)]


def _hypotheses(rows: Sequence[NliRow], label: Label) -> list[str]:
    return [row.hypothesis for row in rows if row.label is label]


def _no_triplets(rows: Sequence[NliRow]) -> str:
    premises = len(_by_premise(rows))
    entailments, contradictions = len(_hypotheses(rows, Label.ENTAILMENT)), len(_hypotheses(rows, Label.CONTRADICTION))
    return (
        f"No triplet can be made of {premises:,} premises with {entailments:,} entailments and {contradictions:,} contradictions: "
        "no premise has both. Give data in which premises come with an entailment and a contradiction, or use the softmax loss."
    )
