"""The controls of a search: strategies and random draws, trained once each with the settings of the best trial."""

import pytest
from optuna.trial import TrialState

from sbert_prune.layers import LayerSelection
from sbert_prune.recipe.files import load_recipe
from tuning.axes import Numbers
from tuning.proposals import Controls, Proposals, controls_of, named_selections
from tuning.settings import Aim
from tuning.space import Space
from tuning.study import DIGEST, KEPT_LAYERS, METRICS, ORIGIN, RUN, close_stale, open_study, stored_trials

RECIPE = load_recipe("quickstart", {"seed": 41})  # its first draws are selections of no strategy
SPACE = Space(6, (2,), axes=(("sts.learning_rate", Numbers(1e-5, 1e-3, log=True)),))
NAMED = named_selections(SPACE, {})


@pytest.fixture
def study(uri):
    return open_study("s", None, Aim(), "random", 0)


def record(request):
    request.trial.set_user_attr(RUN, "a run")
    request.trial.set_user_attr(KEPT_LAYERS, str(request.proposal.selection))
    request.trial.set_user_attr(DIGEST, request.proposal.recipe(RECIPE).digest)


def train(study, request, score, seconds=10.0):
    record(request)
    request.trial.set_user_attr(METRICS, {"training/seconds": seconds})
    study.tell(request.trial, score)


def some_trials(study, *scores):
    proposals = Proposals(study, SPACE, RECIPE, named=NAMED, screened=None, total=100)
    found = [proposals.next() for _ in scores]
    for one, score in zip(found, scores, strict=True):
        train(study, one, score)
    return found


def controls(study, count=8, named=NAMED):
    return Controls(study, SPACE, RECIPE, named, count=count)


def origins_of(source):
    """Return the origins of all controls that a source requests; none is trained to its end."""
    return [request.origin for request in iter(lambda: _recorded(source.next()), None)]


ORDER = ["random", "drop-alternate", "random", "drop-top", "random", "drop-middle", "random", "drop-bottom"]


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 19])
def test_draws_and_strategies_take_turns_and_more_controls_continue_the_same_order(count):
    chosen = controls_of(SPACE, NAMED, count, 42)

    assert [control.origin for control in chosen] == [*ORDER, *["random"] * 11][:count]
    assert chosen == controls_of(SPACE, NAMED, 100, 42)[:count]
    draws = [control.selection for control in chosen if control.origin == "random"]
    assert len(set(draws)) == len(draws)


def test_there_are_no_more_draws_than_selections_and_another_seed_draws_others():
    assert len(controls_of(SPACE, NAMED, 1000, 42)) == 4 + 15
    assert controls_of(SPACE, NAMED, 5, 42) != controls_of(SPACE, NAMED, 5, 43)


def test_the_picks_of_measured_strategies_have_scores_if_they_were_trained_and_are_not_trained_for_it(study):
    named = {"cka": LayerSelection((1, 3), 6), "leave-one-out": LayerSelection((1, 4), 6)}
    proposals = Proposals(study, SPACE, RECIPE, named=named, screened=None, total=100)
    train(study, proposals.next(), 0.5)
    source = controls(study, named=named)

    assert set(origins_of(source)) == {"random"}
    assert {name: trial.score for name, trial in source.scores()[0].items()} == {"cka": 0.5}


def test_there_are_none_without_a_choice_of_layers():
    assert controls_of(Space(6, (2,), fixed=LayerSelection((0, 1), 6)), {}, 20, 1) == ()
    assert controls_of(Space(6, (6,)), {}, 20, 1) == ()


def test_controls_0_trains_none(study):
    some_trials(study, *[0.5] * 20)

    assert controls(study, count=0).next() is None


@pytest.mark.parametrize(("trials", "expected"), [(4, 0), (5, 1), (14, 2), (15, 3), (20, 4)])
def test_as_many_as_fit_into_a_fifth_of_the_trials_time(study, trials, expected):
    some_trials(study, *[0.5] * trials)

    assert len(controls(study, count=None).chosen) == expected


def test_trials_that_were_stopped_pay_for_fewer_controls(study):
    some_trials(study, *[0.5] * 5)
    proposals = Proposals(study, SPACE, RECIPE, named=NAMED, screened=None, total=100)
    for _ in range(20):
        request = proposals.next()
        record(request)
        request.trial.set_user_attr(METRICS, {"training/seconds": 2.5})
        study.tell(request.trial, state=TrialState.PRUNED)

    assert len(controls(study, count=None).chosen) == 2


def test_a_search_that_is_resumed_chooses_the_same_controls_at_any_moment(study):
    some_trials(study, *[0.5] * 20)
    chosen = controls(study, count=None).chosen

    resumed = []
    while (request := controls(study, count=None).next()) is not None:
        train(study, request, 0.4)
        resumed.append(controls(study, count=None).chosen)

    assert len(chosen) == 4
    assert resumed == [chosen] * len(resumed)


def test_controls_of_an_earlier_best_have_used_up_their_time_and_more_trials_pay_for_others(study):
    some_trials(study, *[0.5] * 20)
    first = controls(study, count=None)
    trained = [train(study, request, 0.4) for request in iter(first.next, None)]
    proposals = Proposals(study, SPACE, RECIPE, named={}, screened=None, total=100)
    train(study, proposals.next(), 0.9)
    at_once = controls(study, count=None).chosen

    for _ in range(19):
        train(study, proposals.next(), 0.5)
    later = controls(study, count=None).chosen

    assert len(at_once) == 4 - len(trained)
    assert len(later) == 8 - len(trained)


def test_draws_that_an_earlier_command_has_trained_are_part_of_the_measure(study):
    some_trials(study, 0.5, 0.7)
    for request in iter(controls(study, count=7).next, None):
        train(study, request, 0.4)

    named, drawn = controls(study, count=None).scores()

    assert set(named) >= {"drop-alternate", "drop-top", "drop-middle"}
    assert len(drawn) == 4


def test_they_are_trained_with_the_settings_of_the_best_trial_and_do_not_count(study):
    trials = some_trials(study, 0.5, 0.7, 0.6)
    source = controls(study)
    asked = []

    while (one := source.next()) is not None:
        assert one.is_control
        train(study, one, 0.4)
        asked.append(one)

    assert [one.origin for one in asked] == [origin for origin in ORDER if origin != "drop-top"]  # the best trial
    assert {one.proposal.settings for one in asked} == {trials[1].proposal.settings}
    assert sum(one.counts for one in stored_trials(study)) == 3
    named, drawn = source.scores()
    assert {name: one.score for name, one in named.items()} == {"drop-top": 0.7} | dict.fromkeys(list(NAMED)[1:], 0.4)
    assert [one.score for one in drawn] == [0.4] * 4
    assert controls(study).next() is None


def test_one_that_failed_is_not_tried_again_and_one_whose_process_ended_is(study):
    some_trials(study, 0.5)
    source = controls(study)
    failed, lost = source.next(), source.next()
    for one in (failed, lost):
        record(one)
    study.tell(failed.trial, state=TrialState.FAIL)
    close_stale(study, lambda _: False)

    again = controls(study).next()

    assert again.proposal == lost.proposal
    assert again.is_control
    assert again.origin == lost.origin
    record(again)
    assert controls(study).next().proposal not in {failed.proposal, lost.proposal}


def test_what_failed_as_a_trial_is_not_tried_again_as_a_control(study):
    failed, best = (
        (proposals := Proposals(study, SPACE, RECIPE, named=NAMED, screened=None, total=100)).next(),
        proposals.next(),
    )
    train(study, best, 0.9)
    again = Proposals(study, SPACE, RECIPE, named=NAMED, screened=None, total=100)
    while failed.origin != "drop-bottom":
        record(failed)
        study.tell(failed.trial, state=TrialState.FAIL)
        failed = again.next()
    record(failed)
    study.tell(failed.trial, state=TrialState.FAIL)

    source = controls(study)

    assert "drop-bottom" not in [one.origin for one in iter(lambda: _recorded(source.next()), None)]
    assert "drop-bottom" not in source.scores()[0]


def test_a_trial_that_was_stopped_is_trained_to_its_end_as_a_control(study):
    (first, _) = some_trials(study, 0.1, 0.9)
    stopped = Proposals(study, SPACE, RECIPE, named=NAMED, screened=None, total=100)
    while True:
        one = stopped.next()
        record(one)
        study.tell(one.trial, state=TrialState.PRUNED)
        if one.origin == "drop-bottom":
            break

    source = controls(study)
    asked = [one.origin for one in iter(lambda: _recorded(source.next()), None)]

    assert "drop-bottom" in asked
    assert (
        len({trial.attribute(DIGEST) for trial in stored_trials(study) if trial.attribute(ORIGIN) == "drop-bottom"})
        == 1
    )
    assert first.origin == "drop-top"


def _recorded(request):
    if request is not None:
        record(request)
    return request


def test_where_no_trial_was_trained_to_its_end_there_is_nothing_to_measure(study):
    assert controls(study).next() is None
