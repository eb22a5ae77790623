"""The similarity of two scenes, computed from the roles in which they differ."""

from dataclasses import replace
from enum import StrEnum

from sbert_prune.data.quickstart.lexicon import Concept
from sbert_prune.data.quickstart.scenes import ROLES, Scene


class Difference(StrEnum):
    """How one role of two scenes differs."""

    LOST = "only one scene has it"
    GENERAL = "one falls under the other"
    CHANGED = "two different things"
    OPPOSED = "two things that exclude each other"


# What is subtracted for a difference from 1.0, the score of the same meaning; all scores are computed from this table.
# The core (agent, verb, patient) weighs most, and two changes in it leave a low score; an attribute or a circumstance
# costs less; a detail that one scene does not have costs less than one that contradicts the other scene's.
_COSTS: dict[str, dict[Difference, float]] = {
    "agent": {Difference.GENERAL: 0.10, Difference.CHANGED: 0.40, Difference.OPPOSED: 0.45},
    "verb": {Difference.CHANGED: 0.40, Difference.OPPOSED: 0.50},
    "patient": {Difference.LOST: 0.40, Difference.GENERAL: 0.10, Difference.CHANGED: 0.40, Difference.OPPOSED: 0.45},
    "trait": {Difference.LOST: 0.10, Difference.CHANGED: 0.20, Difference.OPPOSED: 0.30},
    "look": {Difference.LOST: 0.10, Difference.CHANGED: 0.20, Difference.OPPOSED: 0.30},
    "owner": {Difference.LOST: 0.10, Difference.CHANGED: 0.20, Difference.OPPOSED: 0.20},
    "number": {Difference.LOST: 0.10, Difference.CHANGED: 0.15, Difference.OPPOSED: 0.15},
    "place": {Difference.LOST: 0.15, Difference.CHANGED: 0.30, Difference.OPPOSED: 0.30},
    "time": {Difference.LOST: 0.10, Difference.CHANGED: 0.20, Difference.OPPOSED: 0.30},
    "manner": {Difference.LOST: 0.10, Difference.CHANGED: 0.20, Difference.OPPOSED: 0.30},
}
_NEGATION_COST = 0.55
_SWAP_COST = 0.45
_SAME_TOPIC_FLOOR = 0.10
"""The lowest score of two scenes of the same topic."""


def similarity(left: Scene, right: Scene) -> float:
    """Return a symmetric score from 0 (unrelated) to 1 (the same meaning), in steps of 0.05."""
    cost = 0.0
    if _is_swapped(left, right):
        cost += _SWAP_COST
        right = replace(right, agent=left.agent, patient=left.patient, trait=right.look, look=right.trait)
    cost += _NEGATION_COST if left.negated != right.negated else 0.0
    for role in ROLES:
        difference = _difference(left.role(role), right.role(role))
        cost += _COSTS[role][difference] if difference else 0.0
    floor = _SAME_TOPIC_FLOOR if left.topic.name == right.topic.name else 0.0
    return max(round(1.0 - cost, 2), floor)


def _is_swapped(left: Scene, right: Scene) -> bool:
    return (
        left.patient is not None
        and right.patient is not None
        and left.agent.name == right.patient.name
        and left.patient.name == right.agent.name
        and left.agent.name != left.patient.name
    )


def _difference(left: Concept | None, right: Concept | None) -> Difference | None:
    if left is None or right is None:
        return None if left is right else Difference.LOST
    if left.name == right.name:
        return None
    if _falls_under(left, right) or _falls_under(right, left):
        return Difference.GENERAL
    return Difference.OPPOSED if left.opposite == right.name else Difference.CHANGED


def _falls_under(concept: Concept, general: Concept) -> bool:
    above = concept.general
    while above:
        if above.name == general.name:
            return True
        above = above.general
    return False
