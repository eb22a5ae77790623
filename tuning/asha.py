"""Successive halving: at each look the better half of those that came so far go on; the others wait, and go on once they are among it.

Asynchronous, as ASHA is (Li et al. 2020, arXiv 1810.05934): nobody waits for a rung to fill up, and the first trial waits as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuning.study import LOOKS, STALE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuning.study import Held

_FACTOR = 2
"""One in so many goes on."""


def goes_on(trials: Sequence[Held], number: int) -> bool:
    """Whether a trial is in the better part of all that were looked at as far as it was; equals have the same place."""
    look, field = _field(trials, number)
    own = next(_score(one, look) for one in field if one.number == number)
    return sum(_score(one, look) > own for one in field) < len(field) // _FACTOR


def is_alone(trials: Sequence[Held], number: int) -> bool:
    """Whether no other was looked at as far, so that nobody knows how good it is."""
    return len(_field(trials, number)[1]) == 1


def _field(trials: Sequence[Held], number: int) -> tuple[int, list[Held]]:
    """A trial's last look, from 0, and all that were looked at as far."""
    look = next(_num_looks(one) for one in trials if one.number == number) - 1
    return look, [one for one in trials if _num_looks(one) > look and not one.say(STALE)]


def furthest_first(trials: Sequence[Held]) -> list[Held]:
    """The trained ones before those on their way, these by how far they came; of those that came as far, the best first."""
    seen = [one for one in trials if one.is_complete or _num_looks(one)]
    return sorted(seen, key=lambda one: (one.is_complete, _num_looks(one) * (not one.is_complete), _last(one), -one.number), reverse=True)


def _num_looks(one: Held) -> int:
    """How often a trial was looked at."""
    return len(one.say(LOOKS) or [])


def _score(one: Held, look: int) -> float:
    return float(one.say(LOOKS)[look][0])


def _last(one: Held) -> float:
    return one.score if one.is_complete else _score(one, _num_looks(one) - 1)
