"""A layer selection is always valid, and `parse` inverts `str`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_prune.errors import SelectionError
from sbert_prune.layers import LayerSelection


@st.composite
def selections(draw, depth=None):
    depth = draw(st.integers(1, 30)) if depth is None else depth
    kept = draw(st.sets(st.integers(0, depth - 1), min_size=1))
    return LayerSelection(tuple(sorted(kept)), depth)


@given(selection=selections())
def test_parse_inverts_str(selection):
    read = LayerSelection.parse(str(selection), depth=selection.depth)

    assert read == selection


@given(selection=selections())
def test_kept_and_dropped_layers_share_none_and_leave_none_out(selection):
    everything = sorted(selection.kept + selection.dropped)

    assert everything == list(range(selection.depth))
    assert selection.num_layers == len(selection.kept)


@given(data=st.data())
def test_selecting_within_a_selection_names_the_layers_of_the_original(data):
    first = data.draw(selections())
    second = data.draw(selections(depth=first.num_layers))
    layers = [f"layer {index}" for index in range(first.depth)]

    combined = second.within(first)

    once = [layers[index] for index in first.kept]
    assert [layers[index] for index in combined.kept] == [once[index] for index in second.kept]
    assert combined.depth == first.depth


@given(data=st.data())
def test_selecting_within_is_associative(data):
    first = data.draw(selections())
    second = data.draw(selections(depth=first.num_layers))
    third = data.draw(selections(depth=second.num_layers))

    assert third.within(second.within(first)) == third.within(second).within(first)


@given(selection=selections())
def test_keeping_all_is_neutral_within_any_selection(selection):
    assert LayerSelection.all(selection.num_layers).within(selection) == selection
    assert selection.within(LayerSelection.all(selection.depth)) == selection


@pytest.mark.parametrize("depth", [1, 6, 24])
def test_all_keeps_every_layer_and_drops_none(depth):
    selection = LayerSelection.all(depth)

    assert selection.kept == tuple(range(depth))
    assert selection.dropped == ()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("0", (0,)),
        ("0,2,4-7", (0, 2, 4, 5, 6, 7)),
        (" 0 , 2 - 3 ", (0, 2, 3)),
        ("3-3", (3,)),
        ("00,01", (0, 1)),
        ("0-11", tuple(range(12))),
    ],
)
def test_lists_and_ranges_are_read(text, kept):
    assert LayerSelection.parse(text, depth=12).kept == kept


@pytest.mark.parametrize(
    ("kept", "text"),
    [((0,), "0"), ((0, 1), "0,1"), ((0, 1, 2), "0-2"), ((0, 2, 4, 5, 6, 7), "0,2,4-7"), ((0, 1, 5, 6), "0,1,5,6")],
)
def test_runs_of_three_or_more_are_written_as_a_range(kept, text):
    assert str(LayerSelection(kept, 12)) == text


@pytest.mark.parametrize(
    ("kept", "depth", "message"),
    [
        ((), 12, "No layer is kept. Keep at least one of the layers 0-11."),
        ((2, 0, 1), 12, "Layers 2,0,1 are not in ascending order, each once. Did you mean 0,1,2?"),
        ((0, 1, 1), 12, "Layers 0,1,1 are not in ascending order, each once. Did you mean 0,1?"),
        ((0, 12), 12, "Layer 12 does not exist: the encoder has 12 layers, numbered 0-11."),
        ((-1, 0), 12, "Layer -1 does not exist: the encoder has 12 layers, numbered 0-11."),
        ((0,), 0, "An encoder of depth 0 has no layers to keep; the depth must be 1 or more."),
    ],
)
def test_a_wrong_selection_cannot_be_made(kept, depth, message):
    with pytest.raises(SelectionError) as caught:
        LayerSelection(kept, depth)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a list of layers. Write indices and ranges, such as 0,2,4-7."),
        ("six", "'six' is not a list of layers. Write indices and ranges, such as 0,2,4-7."),
        ("0,,1", "'0,,1' is not a list of layers."),
        ("0,1,", "'0,1,' is not a list of layers."),
        ("-1", "'-1' is not a list of layers."),
        ("1.5", "'1.5' is not a list of layers."),
        ("0-2-4", "'0-2-4' is not a list of layers."),
        ("[0, 1]", "'[0, 1]' is not a list of layers."),
        ("0 1", "'0 1' is not a list of layers."),
        ("0, 7-4", "The range 7-4 runs backwards. Did you mean 4-7?"),
        ("3-20", "Layer 20 does not exist: the encoder has 12 layers, numbered 0-11."),
        ("12", "Layer 12 does not exist: the encoder has 12 layers, numbered 0-11."),
        ("0-3,2", "Layers 0,1,2,3,2 are not in ascending order, each once. Did you mean 0,1,2,3?"),
        ("5,1", "Layers 5,1 are not in ascending order, each once. Did you mean 1,5?"),
    ],
)
def test_a_list_that_cannot_be_read_says_what_is_right(text, message):
    with pytest.raises(SelectionError) as caught:
        LayerSelection.parse(text, depth=12)

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["0-99999999999", "99999999999", "0-11," * 2000 + "12", "9" * 5000, "0-" + "9" * 5000])
def test_a_list_of_any_length_is_answered(text):
    """A list of all of its layers would fill the memory."""
    with pytest.raises(SelectionError):
        LayerSelection.parse(text, depth=12)


def test_a_selection_does_not_fit_an_encoder_that_kept_another_number():
    second = LayerSelection((0, 1), 6)

    with pytest.raises(SelectionError) as caught:
        second.within(LayerSelection.all(12))

    assert str(caught.value) == "A selection of 6 layers does not fit an encoder that kept 12."


def test_a_selection_error_is_also_a_value_error():
    with pytest.raises(ValueError, match="does not exist"):
        LayerSelection((3,), 2)
