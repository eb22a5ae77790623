"""Each strategy keeps the requested number of layers, at the positions that its name says."""

from itertools import pairwise

import pytest

from sbert_prune.errors import SelectionError
from sbert_prune.layer_analysis.importance import IMPORTANCE
from sbert_prune.layers import LayerSelection
from sbert_prune.strategies import EXPLICIT, MEASURED, STRATEGIES, choose_layers

SIZES = [(count, depth) for depth in range(1, 25) for count in range(1, depth + 1)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_keeps_as_many_layers_as_asked_for(strategy):
    chosen = {(count, depth): STRATEGIES[strategy](count, depth) for count, depth in SIZES}

    # A LayerSelection is sorted, distinct and inside the depth, or it does not exist.
    assert all(LayerSelection(kept, depth).num_layers == count for (count, depth), kept in chosen.items())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_asked_for_every_layer_keeps_them_all(strategy):
    assert all(STRATEGIES[strategy](depth, depth) == tuple(range(depth)) for depth in range(1, 25))


@pytest.mark.parametrize(
    ("strategy", "count", "depth", "kept"),
    [
        ("drop-top", 6, 12, "0-5"),
        ("drop-bottom", 6, 12, "6-11"),
        ("drop-middle", 6, 12, "0-2,9-11"),
        ("drop-middle", 5, 12, "0-2,10,11"),
        ("drop-middle", 1, 12, "0"),
        ("drop-alternate", 6, 12, "1,3,5,7,9,11"),
        ("drop-alternate", 2, 12, "5,11"),
        ("drop-alternate", 3, 6, "1,3,5"),
        ("drop-alternate", 1, 12, "11"),
    ],
)
def test_known_choices_of_the_paper(strategy, count, depth, kept):
    selection = choose_layers(str(count), strategy=strategy, depth=depth)

    assert selection == LayerSelection.parse(kept, depth=depth)


def test_alternate_keeps_the_last_layer_and_spaces_the_others_evenly():
    for count, depth in SIZES:
        kept = STRATEGIES["drop-alternate"](count, depth)
        gaps = {after - before for before, after in zip((-1, *kept), kept, strict=False)}

        assert kept[-1] == depth - 1
        assert max(gaps) - min(gaps) <= 1


def test_middle_keeps_both_ends():
    for count, depth in [size for size in SIZES if size[0] > 1]:
        kept = STRATEGIES["drop-middle"](count, depth)

        assert (kept[0], kept[-1]) == (0, depth - 1)
        assert sum(after - before > 1 for before, after in pairwise(kept)) <= 1


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("layers", ["0,2,4-7", "3-5", "0,11"])
def test_a_list_is_taken_as_it_is_whatever_the_strategy(strategy, layers):
    assert str(choose_layers(layers, strategy=strategy, depth=12)) == layers


def test_a_count_may_stand_among_blanks():
    assert choose_layers(" 6 ", strategy="drop-top", depth=12).num_layers == 6


def test_the_name_of_a_list_is_no_strategy():
    assert EXPLICIT not in STRATEGIES


@pytest.mark.parametrize(
    ("layers", "strategy", "message"),
    [
        (
            "6",
            "drop-tpo",
            "strategy=drop-tpo: there is no such strategy. Did you mean 'drop-top'? "
            "The strategies are drop-top, drop-middle, drop-bottom, drop-alternate, "
            "block-influence, angular-distance, leave-one-out, cka, loss-per-depth.",
        ),
        ("6", "xyz", "strategy=xyz: there is no such strategy. The strategies are"),
        ("0-3", "xyz", "strategy=xyz: there is no such strategy."),
        (
            "0",
            "drop-top",
            "layers=0 cannot be kept: the encoder has 12 layers. Ask for 1 to 12, or list them, such as 0,2,4-7.",
        ),
        ("13", "drop-top", "layers=13 cannot be kept: the encoder has 12 layers."),
        ("six", "drop-top", "'six' is not a list of layers."),
        ("-6", "drop-top", "'-6' is not a list of layers."),
        ("²", "drop-top", "'²' is not a list of layers."),
    ],
)
def test_a_wrong_choice_says_what_is_right(layers, strategy, message):
    with pytest.raises(SelectionError) as caught:
        choose_layers(layers, strategy=strategy, depth=12)

    assert str(caught.value).startswith(message)


def test_a_count_of_thousands_of_digits_is_a_wrong_choice_like_any_other():
    with pytest.raises(SelectionError):
        choose_layers("9" * 5000, strategy="drop-top", depth=12)


@pytest.mark.parametrize("strategy", MEASURED)
def test_a_measured_strategy_waits_for_the_model(strategy):
    assert choose_layers("6", strategy=strategy, depth=12) is None
    assert choose_layers("12", strategy=strategy, depth=12) == LayerSelection.all(12)
    assert choose_layers("0,5", strategy=strategy, depth=12) == LayerSelection((0, 5), 12)
    with pytest.raises(SelectionError, match="layers=13 cannot be kept"):
        choose_layers("13", strategy=strategy, depth=12)


def test_every_measured_strategy_has_its_measurement():
    assert set(MEASURED) == set(IMPORTANCE)
