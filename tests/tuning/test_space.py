"""A space contains the selections that it describes, and parameters stand for its points."""

import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from sbert_prune.errors import SearchError, SelectionError
from sbert_prune.layers import LayerSelection
from sbert_prune.recipe.files import load_recipe
from tuning.axes import Choices, Numbers, parse_axes
from tuning.space import Proposal, Space, as_flat, parse_counts, space_of

RECIPE = load_recipe("quickstart-paper", {})


def test_all_selections_of_a_space_are_counted_and_different():
    space = Space(6, (2, 3))
    found = list(space.selections())

    assert len(found) == len(set(found)) == space.num_selections == comb(6, 2) + comb(6, 3)
    assert all(space.contains(one) for one in found)


def test_a_first_layer_that_has_to_stay_is_in_every_selection():
    space = Space(5, (1, 3), first_stays=True)
    found = list(space.selections())

    assert len(found) == space.num_selections == 1 + comb(4, 2)
    assert all(one.kept[0] == 0 for one in found)
    assert all(space.draw(random.Random(number)).kept[0] == 0 for number in range(20))
    assert not space.contains(LayerSelection((1, 2, 3), 5))


@given(st.data())
def test_the_parameters_of_a_selection_suggest_that_selection(data):
    depth = data.draw(st.integers(1, 12))
    counts = tuple(range(1, depth + 1)) if data.draw(st.booleans()) else (data.draw(st.integers(1, depth)),)
    space = Space(depth, counts, first_stays=data.draw(st.booleans()))
    selection = space.draw(random.Random(data.draw(st.integers())))

    proposal = space.suggest(FixedTrial(space.params(selection)))

    assert proposal == Proposal(selection)


def test_the_highest_priorities_are_kept_and_the_lower_layer_among_equals():
    space = Space(4, (2,))

    assert space.suggest(
        FixedTrial({"priority_00": 0.1, "priority_01": 0.9, "priority_02": 0.3, "priority_03": 0.8})
    ).selection.kept == (
        1,
        3,
    )
    assert space.suggest(FixedTrial({f"priority_{layer:02}": 0.5 for layer in range(4)})).selection.kept == (0, 1)


def test_a_proposal_is_the_recipe_with_its_layers_and_settings():
    proposal = Proposal(
        LayerSelection((1, 4), 12), (("sts.learning_rate", 1e-4), ("sts.loss", "cosent"), ("vocabulary", "4000"))
    )

    recipe = proposal.recipe(RECIPE)

    assert (recipe.layers, recipe.sts.learning_rate, recipe.sts.loss, recipe.vocabulary) == (
        "1,4",
        1e-4,
        "cosent",
        "4000",
    )
    assert recipe.nli == RECIPE.nli
    assert Proposal(LayerSelection((1, 4), 12)).recipe(RECIPE).digest == RECIPE.keeping("1,4", "drop-top").digest
    assert as_flat(proposal) == {"sts_learning_rate": "0.0001", "sts_loss": "cosent", "vocabulary": "4000"}


def test_a_single_layer_is_a_list_and_no_count():
    layers = Proposal(LayerSelection((5,), 12)).recipe(RECIPE).layers

    assert LayerSelection.parse(layers, depth=12).kept == (5,)
    assert not layers.isdecimal()


@pytest.mark.parametrize(
    ("text", "counts"),
    [("6", (6,)), ("2..4", (2, 3, 4)), (" 2 .. 3 ", (2, 3)), ("any", tuple(range(1, 12))), ("12", (12,))],
)
def test_counts_of_layers_are_a_number_a_range_or_any(text, counts):
    assert parse_counts(text, 12) == counts


@pytest.mark.parametrize("text", ["some", "2...4", "6 layers", "2..", "-"])
def test_text_that_says_neither_how_many_nor_which_is_refused_with_what_would(text):
    with pytest.raises(
        (SearchError, SelectionError), match=r"how many layers to keep \(6\), a range|is not a list of layers"
    ):
        space_of(RECIPE.keeping(text, "drop-top"), 12, first_stays=False, axes=None)


@pytest.mark.parametrize("text", ["0", "13", "4..2", "2..13", "0..3"])
def test_counts_that_the_encoder_does_not_have_are_refused(text):
    with pytest.raises(SearchError, match=f"layers={text}: the encoder has 12 layers"):
        parse_counts(text, 12)


def test_layers_that_are_listed_leave_settings_alone_to_vary():
    space = space_of(RECIPE.keeping("0,2,5", "drop-top"), 12, first_stays=False, axes=None)

    assert space.num_selections == 1
    assert space.suggest(FixedTrial({"nli_learning_rate": 1e-4, "sts_learning_rate": 1e-4})).selection.kept == (0, 2, 5)
    with pytest.raises(SelectionError, match="Layer 12 does not exist"):
        space_of(RECIPE.keeping("0,12", "drop-top"), 12, first_stays=False, axes=None)


def test_the_learning_rates_of_the_recipes_phases_vary_by_default():
    axes = dict(parse_axes(None, RECIPE))

    assert axes == {
        "nli.learning_rate": Numbers(RECIPE.nli.learning_rate / 4, RECIPE.nli.learning_rate * 4, log=True),
        "sts.learning_rate": Numbers(RECIPE.sts.learning_rate / 4, RECIPE.sts.learning_rate * 4, log=True),
    }
    assert parse_axes("layers", RECIPE) == ()


def test_ranges_lists_and_bare_names_are_read():
    axes = dict(
        parse_axes(
            "sts_learning_rate=1e-5..1e-3, sts_loss=cosine/cosent,nli_scale,sts_batch_size=16..64,vocabulary=4000/all",
            RECIPE,
        )
    )

    assert axes == {
        "sts.learning_rate": Numbers(1e-5, 1e-3, log=True),
        "sts.loss": Choices(("cosine", "cosent")),
        "nli.scale": Numbers(5.0, 80.0, log=True),
        "sts.batch_size": Numbers(16, 64, whole=True, log=True),
        "vocabulary": Choices(("4000", "all")),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate", "space: learning_rate cannot vary"),
        ("distil_epochs", "space: distil_epochs cannot vary"),  # no phase of this recipe
        ("sts_loss=cosine/cosin", "sts_loss=cosin cannot be tried"),
        ("sts_loss", "space: sts_loss needs its values"),
        ("sts_loss=1..2", "write values with / between them"),
        ("sts_learning_rate=1e-3..1e-5", "the smaller one first"),
        ("sts_learning_rate=0..1e-5", "two numbers above 0"),
        ("sts_learning_rate=a..b", "two numbers above 0"),
        ("sts_learning_rate=1e-5", "write a range"),
        ("sts_learning_rate=1e-5..3", "sts_learning_rate=3.0 cannot be tried"),
        ("nli_scale,nli_scale", "is given twice"),
        ("vocabulary=many", "vocabulary=many cannot be tried"),
    ],
)
def test_a_space_that_cannot_be_is_refused_with_what_would_be_right(text, message):
    with pytest.raises(SearchError) as refused:
        parse_axes(text, RECIPE)

    assert message in str(refused.value)


def test_a_space_can_be_narrowed_to_fewer_layers():
    assert Space(12, (2, 3, 4)).up_to(3).counts == (2, 3)
    with pytest.raises(SearchError, match="leave room for 1 layers"):
        Space(12, (2, 3)).up_to(1)


def test_the_recipes_settings_go_along_where_the_space_has_them():
    space = Space(
        2,
        (1,),
        axes=(
            ("sts.learning_rate", Numbers(1e-5, 1e-3, log=True)),
            ("nli.scale", Numbers(1, 2)),
            ("sts.loss", Choices(("cosine",))),
        ),
    )

    params = space.params(LayerSelection((1,), 2), RECIPE)

    assert params == {
        "priority_00": 0.25,
        "priority_01": 0.75,
        "sts_learning_rate": RECIPE.sts.learning_rate,
        "sts_loss": "cosine",
    }


def test_points_that_are_spread_cover_every_axis_evenly():
    sizes, losses = Numbers(8, 64, whole=True, log=True), Choices(("cosine", "cosent"))
    axes = (("nli.scale", Numbers(0, 6)), ("sts.batch_size", sizes), ("sts.loss", losses))
    space = Space(4, (2,), axes=axes)

    found = space.spread([path for path, _ in axes], 6, random.Random(0))

    assert [set(point) for point in space.spread(["sts.loss"], 2, random.Random(0))] == [{"sts_loss"}] * 2
    assert sorted(point["nli_scale"] for point in found) == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert sorted(point["sts_loss"] for point in found) == ["cosent"] * 3 + ["cosine"] * 3
    assert all(isinstance(point["sts_batch_size"], int) and 8 <= point["sts_batch_size"] <= 64 for point in found)
