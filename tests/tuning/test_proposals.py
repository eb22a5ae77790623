"""What is tried, and in which order: the screening's best, what has a name, chance, then the sampler."""

import pytest

from sbert_prune.layers import LayerSelection
from sbert_prune.recipe_files import load_recipe
from tuning.aim import Aim
from tuning.axes import Numbers
from tuning.proposals import EVERY, Proposals, fill_queue, named_selections
from tuning.screening import Screened
from tuning.space import Space
from tuning.study import ORIGIN, RANDOM, SAMPLER, held, open_study

RECIPE = load_recipe("quickstart", {})
SPACE = Space(6, (2,))


@pytest.fixture
def study(uri):
    return open_study("s", None, Aim(), "random", 0)


def screened():
    selections = tuple(SPACE.selections())
    return Screened(selections, {"shared": tuple(float(sum(one.kept)) for one in selections)}, 1.0)


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
    fill_queue(study, SPACE, RECIPE, (named, screened()))
    proposals = Proposals(study, SPACE, RECIPE, (named, screened()))

    asked = [proposals.next() for _ in range(9)]

    first = [(one.origin, one.proposal.selection.kept) for one in asked if one.origin not in {RANDOM, SAMPLER}]
    assert first == [
        ("shared-weights", (4, 5)),
        ("drop-top", (0, 1)),
        ("drop-middle", (0, 5)),
        ("drop-alternate", (2, 5)),
        ("shared-weights", (3, 5)),
        ("shared-weights", (3, 4)),
        ("shared-weights", (1, 5)),
        ("shared-weights", (2, 4)),
    ]


def test_what_others_are_measured_by_is_never_stopped(study):
    named = named_selections(SPACE, {"cka": LayerSelection((1, 2), 6)})
    fill_queue(study, SPACE, RECIPE, (named, screened()))
    proposals = Proposals(study, SPACE, RECIPE, (named, screened()))

    asked = [proposals.next() for _ in range(14)]

    measures = {one.proposal.selection.kept for one in asked if one.is_measure and one.origin != RANDOM}
    assert measures == {(4, 5), (0, 1), (0, 5), (2, 5)}  # drop-bottom came as the screening's best
    assert all(one.is_measure for one in asked if one.origin == RANDOM)
    assert not any(one.is_measure for one in asked if one.origin in {"cka", SAMPLER})


def test_one_in_so_many_is_drawn_at_random(study):
    proposals = Proposals(study, SPACE, RECIPE, ({}, None))
    for _ in range(3 * EVERY):
        proposals.next()

    assert [one.say(ORIGIN) for one in held(study)].count(RANDOM) == 3


def test_nothing_is_drawn_where_there_is_one_selection(study):
    fixed = Space(6, (2,), fixed=LayerSelection((0, 1), 6))
    fill_queue(study, fixed, RECIPE, ({}, None))
    proposals = Proposals(study, fixed, RECIPE, ({}, None))

    assert [proposals.next().origin for _ in range(8)] == ["recipe", *[SAMPLER] * 7]


def test_where_settings_vary_the_screenings_best_is_probed_first_and_again_and_again(study):
    space = Space(6, (2,), axes=(("sts.learning_rate", Numbers(1e-5, 1e-3, log=True)),))
    fill_queue(study, space, RECIPE, (named_selections(space, {}), screened()))
    proposals = Proposals(study, space, RECIPE, ({}, screened()))

    asked = [proposals.next() for _ in range(45)]

    assert [one.proposal.selection.kept for one in asked[:7]] == [(4, 5)] * 7
    rates = [dict(one.proposal.settings)["sts.learning_rate"] for one in asked]
    assert rates[0] == RECIPE.sts.learning_rate
    ends = [1e-5 * 100 ** (part / 6) for part in range(7)]
    assert sorted(next(part for part in range(6) if ends[part] <= rate < ends[part + 1]) for rate in rates[1:7]) == list(range(6))
    later = [one for one in asked[17:] if one.origin == "shared-weights"]
    assert 5 < len(later) < 25
    liked = {one.kept for one in screened().ranked()[:6]}
    assert {one.proposal.selection.kept for one in later} <= liked
