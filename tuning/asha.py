"""Asynchronous successive halving (ASHA): the better half of the trials at a rung continues.

A trial that is not in the better half waits, and continues once it is. Scores are compared with those that have come
in so far: no trial waits for a rung to fill up (Li et al. 2020, arXiv 1810.05934). The first trial waits as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuning.study import RUNG_SCORES, STALE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuning.study import StoredTrial

_FACTOR = 2
"""One trial in this many continues."""


def may_continue(trials: Sequence[StoredTrial], number: int) -> bool:
    """Return whether a trial is in the better part of those at its last rung; equal scores have the same rank."""
    rung, rivals = _at_last_rung(trials, number)
    score = next(_score(trial, rung) for trial in rivals if trial.number == number)
    return sum(_score(trial, rung) > score for trial in rivals) < len(rivals) // _FACTOR


def is_alone(trials: Sequence[StoredTrial], number: int) -> bool:
    """Return whether no other trial has reached its last rung, so that there is nothing to compare it with."""
    return len(_at_last_rung(trials, number)[1]) == 1


def _at_last_rung(trials: Sequence[StoredTrial], number: int) -> tuple[int, list[StoredTrial]]:
    """Return the number of a trial's last rung, from 0, and all trials that have reached it."""
    rung = next(_num_rungs(trial) for trial in trials if trial.number == number) - 1
    return rung, [trial for trial in trials if _num_rungs(trial) > rung and not trial.attribute(STALE)]


def furthest_first(trials: Sequence[StoredTrial]) -> list[StoredTrial]:
    """Return complete trials, then unfinished ones by the number of rungs reached, each group best score first.

    Trials without any score are left out.
    """

    def rank(trial: StoredTrial) -> tuple[bool, int, float, int]:
        return (trial.is_complete, _num_rungs(trial) * (not trial.is_complete), _last_score(trial), -trial.number)

    return sorted((trial for trial in trials if trial.is_complete or _num_rungs(trial)), key=rank, reverse=True)


def _num_rungs(trial: StoredTrial) -> int:
    """Return how many rungs a trial has reached."""
    return len(trial.attribute(RUNG_SCORES) or [])


def _score(trial: StoredTrial, rung: int) -> float:
    return float(trial.attribute(RUNG_SCORES)[rung][0])


def _last_score(trial: StoredTrial) -> float:
    return trial.score if trial.is_complete else _score(trial, _num_rungs(trial) - 1)
