"""The controls of a search: strategies and random draws, trained once each with the settings of the best trial."""

import pytest
from optuna.trial import TrialState

from sbert_prune.layers import LayerSelection
from sbert_prune.recipe.files import load_recipe
from tuning.axes import Numbers
from tuning.proposals import Controls, Proposals, controls_of, named_selections
from tuning.settings import Aim
from tuning.space import Space
from tuning.study import DIGEST, KEPT_LAYERS, ORIGIN, RUN, close_stale, open_study, stored_trials

RECIPE = load_recipe("quickstart", {})
SPACE = Space(6, (2,), axes=(("sts.learning_rate", Numbers(1e-5, 1e-3, log=True)),))
NAMED = named_selections(SPACE, {})


@pytest.fixture
def study(uri):
    return open_study("s", None, Aim(), "random", 0)


def record(request):
    request.trial.set_user_attr(RUN, "a run")
    request.trial.set_user_attr(KEPT_LAYERS, str(request.proposal.selection))
    request.trial.set_user_attr(DIGEST, request.proposal.recipe(RECIPE).digest)


def train(study, request, score):
    record(request)
    study.tell(request.trial, score)


def some_trials(study, *scores):
    proposals = Proposals(study, SPACE, RECIPE, named=NAMED, screened=None, total=100)
    found = [proposals.next() for _ in scores]
    for one, score in zip(found, scores, strict=True):
        train(study, one, score)
    return found


def controls(study, trials=18):
    return Controls(study, SPACE, RECIPE, controls_of(SPACE, NAMED, trials, 41))


@pytest.mark.parametrize(("trials", "drawn"), [(1, 3), (20, 3), (60, 10), (1000, 15)])
def test_every_strategy_and_one_in_six_at_random_three_at_least(trials, drawn):
    found = controls_of(SPACE, NAMED, trials, 42)

    assert [one.origin for one in found] == [*NAMED, *["random"] * drawn]
    assert len({one.selection for one in found[4:]}) == drawn
    assert found == controls_of(SPACE, NAMED, trials, 42)
    assert found != controls_of(SPACE, NAMED, trials, 43) or drawn == 15


def test_the_picks_of_measured_strategies_have_scores_if_they_were_trained_and_are_not_trained_for_it(study):
    named = {"cka": LayerSelection((1, 3), 6), "leave-one-out": LayerSelection((1, 4), 6)}
    proposals = Proposals(study, SPACE, RECIPE, named=named, screened=None, total=100)
    train(study, proposals.next(), 0.5)
    source = Controls(study, SPACE, RECIPE, controls_of(SPACE, named, 18, 41))

    origins = [one.origin for one in iter(lambda: _recorded(source.next()), None)]

    assert set(origins) == {"random"}
    assert {name: one.score for name, one in source.scores()[0].items()} == {"cka": 0.5}


def test_there_are_none_without_a_choice_of_layers():
    assert controls_of(Space(6, (2,), fixed=LayerSelection((0, 1), 6)), {}, 20, 1) == ()
    assert controls_of(Space(6, (6,)), {}, 20, 1) == ()


def test_they_are_trained_with_the_settings_of_the_best_trial_and_do_not_count(study):
    trials = some_trials(study, 0.5, 0.7, 0.6)
    source = controls(study)

    asked = []
    while (one := source.next()) is not None:
        assert one.is_control
        train(study, one, 0.4)
        asked.append(one)

    assert [one.origin for one in asked] == [
        "drop-middle",
        "drop-bottom",
        "drop-alternate",
        *["random"] * 3,
    ]  # drop-top was the best trial
    assert {one.proposal.settings for one in asked} == {trials[1].proposal.settings}
    assert sum(one.counts for one in stored_trials(study)) == 3
    named, drawn = source.scores()
    assert {name: one.score for name, one in named.items()} == {"drop-top": 0.7} | dict.fromkeys(list(NAMED)[1:], 0.4)
    assert [one.score for one in drawn] == [0.4] * 3
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
