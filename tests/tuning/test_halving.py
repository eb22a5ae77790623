"""Who goes on: the better half of those that came as far, whoever came first."""

import optuna
import pytest
from optuna.trial import TrialState

from tuning.asha import furthest_first, goes_on, is_alone
from tuning.study import LOOKS, STALE, Held


def trial(number, *looks, score=None, **more):
    state = TrialState.RUNNING if score is None else TrialState.COMPLETE
    found = optuna.trial.create_trial(state=state, value=score, user_attrs={LOOKS: [[look, 1.0] for look in looks], **more})
    found.number = number
    return Held(found)


@pytest.mark.parametrize(("count", "going"), [(1, []), (2, [1]), (3, [2]), (4, [2, 3]), (5, [3, 4])])
def test_the_better_half_goes_on_and_the_first_waits(count, going):
    trials = [trial(number, number / 10) for number in range(count)]

    assert [number for number in range(count) if goes_on(trials, number)] == going


def test_those_that_went_on_still_take_their_place_and_each_look_has_its_own_field():
    trials = [trial(0, 0.9, 0.5), trial(1, 0.8, 0.6), trial(2, 0.7), trial(3, 0.1)]

    assert not goes_on(trials, 2)  # two of four are better
    assert goes_on([*trials, trial(4, 0.0), trial(5, 0.0)], 2)
    assert [number for number in (0, 1) if goes_on(trials, number)] == [1]


def test_equals_go_on_together_and_one_that_nobody_ended_is_not_counted():
    equals = [trial(number, 0.5) for number in range(5)]  # their settings differ in the second phase alone
    assert all(goes_on(equals, number) for number in range(5))
    assert not goes_on([*equals, trial(5, 0.4)], 5)
    assert not goes_on([trial(0, 0.5, **{STALE: "yes"}), trial(1, 0.6)], 1)


def test_one_that_came_as_far_as_no_other_is_alone():
    trials = [trial(0, 0.9, 0.5), trial(1, 0.8)]

    assert is_alone(trials, 0)
    assert not is_alone(trials, 1)


def test_the_trained_come_before_those_on_their_way_and_these_by_how_far_they_came():
    trials = [trial(0, 0.9), trial(1, 0.1, 0.2), trial(2, 0.1, 0.3), trial(3, 0.1, 0.1, score=0.4), trial(4, score=0.5), trial(5)]

    assert [one.number for one in furthest_first(trials)] == [4, 3, 2, 1, 0]
