"""The order of the trials: settings on the screening's best, its other favourites, strategies, then the sampler."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sbert_prune.layers import LayerSelection
from sbert_prune.recipe.files import load_recipe
from tuning.axes import Numbers
from tuning.proposals import Proposals, named_selections
from tuning.screening import Screened
from tuning.settings import Aim
from tuning.space import Space
from tuning.study import (
    ANSWERED,
    KEPT_LAYERS,
    ORIGIN,
    RUN,
    RUNG_SCORES,
    SAMPLER,
    close_stale,
    open_study,
    stored_trials,
)

RECIPE = load_recipe("quickstart-paper", {})
SPACE = Space(6, (2,))
RATES = Space(6, (2,), axes=(("sts.learning_rate", Numbers(1e-5, 1e-3, log=True)),))


@pytest.fixture
def study(uri):
    return open_study("s", None, Aim(), "random", 0)


def screened():
    selections = tuple(SPACE.selections())
    return Screened(selections, {"shared": tuple(float(sum(one.kept)) for one in selections)}, 1.0)


def proposals_of(study, space=SPACE, *, named=None, screening=None, total=1000):
    return Proposals(study, space, RECIPE, named=named or {}, screened=screening, total=total)


def next_requests(proposals, count):
    """Return the next requests, each recorded as the search records it."""
    requests = []
    for _ in range(count):
        request = proposals.next()
        request.trial.set_user_attr(KEPT_LAYERS, str(request.proposal.selection))
        requests.append(request)
    return requests


@pytest.mark.parametrize("storage", [None, "sqlite:///study.db"])
def test_two_searches_that_ask_for_the_last_trial_at_once_train_one(uri, monkeypatch, storage):
    """The other search asks between the first one's count and its request."""
    study, others = (open_study("s", storage, Aim(), "random", seed) for seed in (0, 1))
    train(proposals_of(study, total=2).next(), study)
    slow, quick, requests = proposals_of(study, total=2), proposals_of(others, total=2), []
    monkeypatch.setattr(slow, "_propose", lambda: requests.append(quick.next()))

    requests.append(slow.next())

    assert [request is not None for request in requests] == [True, False]
    train(requests[0], others)
    trials = stored_trials(study)
    assert sum(trial.counts for trial in trials) == 2
    assert all(trial.state.is_finished() for trial in trials)
    assert close_stale(study, lambda _: False) == []


def test_searches_that_ask_at_the_same_time_train_no_trial_too_many(uri):
    """A race without a script: eight searches, each with a connection of its own."""
    open_study("s", "sqlite:///study.db", Aim(), "random", 0)

    def search(seed):
        study = open_study("s", "sqlite:///study.db", Aim(), "random", seed)
        proposals, trained = proposals_of(study, total=12), 0
        while (request := proposals.next()) is not None:
            train(request, study)
            trained += 1
        return trained

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(search, range(8))) == 12


def train(request, study):
    request.trial.set_user_attr(RUN, "r")
    study.tell(request.trial, 0.5)


def test_strategies_keep_what_they_keep_and_measured_ones_what_they_found():
    named = named_selections(SPACE, {"cka": LayerSelection((1, 2), 6)})

    assert {name: one.kept for name, one in named.items()} == {
        "drop-top": (0, 1),
        "drop-middle": (0, 5),
        "drop-bottom": (4, 5),
        "drop-alternate": (2, 5),
        "cka": (1, 2),
    }
    assert named_selections(Space(6, (2,), fixed=LayerSelection((0, 1), 6)), {}) == {}


def test_the_screenings_best_and_the_named_come_before_the_sampler_each_once(study):
    named = named_selections(SPACE, {"cka": LayerSelection((0, 1), 6)})

    asked = next_requests(proposals_of(study, named=named, screening=screened()), 10)

    assert [(one.origin, one.proposal.selection.kept) for one in asked if one.origin != SAMPLER] == [
        ("shared-weights", (4, 5)),
        ("shared-weights", (3, 5)),
        ("shared-weights", (2, 5)),
        ("shared-weights", (3, 4)),
        ("shared-weights", (1, 5)),
        ("shared-weights", (2, 4)),
        ("drop-top", (0, 1)),
        ("drop-middle", (0, 5)),
    ]
    assert not any(one.is_control for one in asked)


def test_without_a_screening_the_named_come_first(study):
    asked = next_requests(proposals_of(study, named=named_selections(SPACE, {})), 5)

    assert [one.origin for one in asked] == ["drop-top", "drop-middle", "drop-bottom", "drop-alternate", SAMPLER]


def test_where_the_layers_are_given_settings_are_probed_and_then_sampled(study):
    given = Space(6, (2,), fixed=LayerSelection((0, 1), 6), axes=RATES.axes)

    asked = next_requests(proposals_of(study, given), 9)

    assert [one.origin for one in asked] == [*["recipe"] * 5, *[SAMPLER] * 4]
    assert dict(asked[0].proposal.settings)["sts.learning_rate"] == RECIPE.sts.learning_rate


def test_settings_are_probed_on_the_screenings_best_evenly_over_their_range(study):
    asked = next_requests(proposals_of(study, RATES, named=named_selections(RATES, {}), screening=screened()), 5)

    assert [one.proposal.selection.kept for one in asked] == [(4, 5)] * 5
    rates = [dict(one.proposal.settings)["sts.learning_rate"] for one in asked]
    assert rates[0] == RECIPE.sts.learning_rate
    ends = [1e-5 * 100 ** (part / 4) for part in range(5)]
    assert sorted(next(part for part in range(4) if ends[part] <= rate < ends[part + 1]) for rate in rates[1:]) == list(
        range(4)
    )


def test_settings_of_later_phases_are_probed_where_they_alone_vary(study):
    first = Numbers(1e-4, 1e-3, log=True)
    both = Space(6, (2,), axes=(("nli.learning_rate", first), *RATES.axes))

    alone = next_requests(proposals_of(study, RATES, screening=screened()), 5)
    other = proposals_of(open_study("t", None, Aim(), "random", 0), both, screening=screened())
    together = [dict(one.proposal.settings) for one in next_requests(other, 5)]

    assert len({one.proposal.settings for one in alone}) == 5
    assert len({settings["nli.learning_rate"] for settings in together}) == 5
    assert {settings["sts.learning_rate"] for settings in together} == {RECIPE.sts.learning_rate}


def test_the_other_favourites_are_tried_with_the_settings_that_did_best_so_far(study):
    proposals = proposals_of(study, RATES, named=named_selections(RATES, {}), screening=screened())
    probes = next_requests(proposals, 5)
    for number, one in enumerate(probes):
        one.trial.set_user_attr(RUNG_SCORES, [[0.5, 1.0]] * (2 if number in {1, 2} else 1) + [[0.1 * number, 2.0]])

    favourites = next_requests(proposals, 7)

    best = dict(probes[2].proposal.settings)[
        "sts.learning_rate"
    ]  # as far as number 1, and better there; number 4 did not come as far
    assert [dict(one.proposal.settings)["sts.learning_rate"] for one in favourites] == [best] * 7
    assert len({one.proposal.selection for one in favourites}) == 7


def test_later_the_sampler_chooses_settings_every_other_time_for_what_the_screening_likes(study):
    asked = next_requests(proposals_of(study, RATES, screening=screened()), 50)[10:]

    liked = [one for one in asked if one.origin == "shared-weights"]
    assert 8 < len(liked) < 32
    assert {one.proposal.selection for one in liked} <= set(screened().ranked()[:6])
    assert len({dict(one.proposal.settings)["sts.learning_rate"] for one in liked}) == len(liked)


def test_there_are_as_many_as_were_asked_for_whatever_the_record_answers(study):
    proposals = proposals_of(study, named=named_selections(SPACE, {}), total=3)
    for answered in (False, True, False, False):
        (one,) = next_requests(proposals, 1)
        one.trial.set_user_attr(RUN, "a run")
        if answered:
            one.trial.set_user_attr(ANSWERED, "screening")
        study.tell(one.trial, 0.5)

    assert proposals.next() is None
    assert proposals_of(study, total=4).next() is not None


def test_a_trial_whose_process_ended_comes_first_and_is_the_same(study):
    before = next_requests(proposals_of(study, RATES, screening=screened()), 2)
    for one in before:
        one.trial.set_user_attr(RUN, "a run")
    close_stale(study, lambda _: False)

    again = next_requests(proposals_of(study, RATES, screening=screened()), 3)

    assert [one.proposal for one in again[:2]] == [one.proposal for one in before]
    assert [one.origin for one in again[:2]] == [one.origin for one in before]
    assert again[2].proposal not in [one.proposal for one in before]
    assert len([one for one in stored_trials(study) if one.attribute(ORIGIN) == "shared-weights"]) == 5
