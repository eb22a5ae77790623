"""Which trials continue: the better half of those at the same rung, in whichever order they came."""

import optuna
import pytest
from optuna.trial import TrialState

from tuning.asha import furthest_first, is_alone, may_continue
from tuning.study import RUNG_SCORES, STALE, StoredTrial


def trial(number, *rungs, score=None, **more):
    state = TrialState.RUNNING if score is None else TrialState.COMPLETE
    frozen = optuna.trial.create_trial(
        state=state, value=score, user_attrs={RUNG_SCORES: [[rung, 1.0] for rung in rungs], **more}
    )
    frozen.number = number
    return StoredTrial(frozen)


@pytest.mark.parametrize(("count", "continuing"), [(1, []), (2, [1]), (3, [2]), (4, [2, 3]), (5, [3, 4])])
def test_the_better_half_continues_and_the_first_waits(count, continuing):
    trials = [trial(number, number / 10) for number in range(count)]

    assert [number for number in range(count) if may_continue(trials, number)] == continuing


def test_those_that_continued_are_still_compared_and_each_rung_has_its_own_ranking():
    trials = [trial(0, 0.9, 0.5), trial(1, 0.8, 0.6), trial(2, 0.7), trial(3, 0.1)]

    assert not may_continue(trials, 2)  # two of four are better
    assert may_continue([*trials, trial(4, 0.0), trial(5, 0.0)], 2)
    assert [number for number in (0, 1) if may_continue(trials, number)] == [1]


def test_equals_continue_together_and_one_whose_process_ended_is_not_counted():
    equals = [trial(number, 0.5) for number in range(5)]  # their settings differ in the second phase alone
    assert all(may_continue(equals, number) for number in range(5))
    assert not may_continue([*equals, trial(5, 0.4)], 5)
    assert not may_continue([trial(0, 0.5, **{STALE: "yes"}), trial(1, 0.6)], 1)


def test_one_that_came_as_far_as_no_other_is_alone():
    trials = [trial(0, 0.9, 0.5), trial(1, 0.8)]

    assert is_alone(trials, 0)
    assert not is_alone(trials, 1)


def test_the_trained_come_before_those_on_their_way_and_these_by_how_far_they_came():
    trials = [
        trial(0, 0.9),
        trial(1, 0.1, 0.2),
        trial(2, 0.1, 0.3),
        trial(3, 0.1, 0.1, score=0.4),
        trial(4, score=0.5),
        trial(5),
    ]

    assert [one.number for one in furthest_first(trials)] == [4, 3, 2, 1, 0]
