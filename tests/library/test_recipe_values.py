"""Several named values in one setting are separated, and mistakes in it are reported."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.values import named_settings

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}", fullmatch=True)
VALUES = (
    st.text(st.sampled_from("ab/.-_@: ,=é"), min_size=1).map(str.strip).filter(lambda value: value and "," not in value)
)


@given(settings=st.dictionaries(NAMES, VALUES, max_size=5))
def test_settings_joined_with_commas_are_separated_again(settings):
    text = ",".join(f"{name}={value}" for name, value in settings.items())

    assert named_settings(text) == settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("  ", {}),
        (" trec = data/en-trec , subj=all.txt ", {"trec": "data/en-trec", "subj": "all.txt"}),
        ("a=one,two.csv,b=three.csv", {"a": "one,two.csv", "b": "three.csv"}),
        ("a=x/lang=mr/all.csv,b=y", {"a": "x/lang=mr/all.csv", "b": "y"}),
        ("a=x,y/lang=mr/all.csv", {"a": "x,y/lang=mr/all.csv"}),
        ("a=org/name:mr@refs/convert/parquet", {"a": "org/name:mr@refs/convert/parquet"}),
    ],
)
def test_a_comma_separates_only_before_a_name(text, expected):
    assert named_settings(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "data/en-trec",
            "'data/en-trec' has no name. Expected NAME=FOLDER or NAME=FILE, several with a comma between them, "
            "for example en-",
        ),
        (
            "my set=x",
            "'my set' cannot be a name: its metrics carry it. A name has at most 50 letters, digits, '.', '_' and '-', "
            "and begins",
        ),
        ("a=x,=y", "'' cannot be a name"),
        ("-a=x", "'-a' cannot be a name"),
        ("é=x", "'é' cannot be a name"),
        ("a" * 51 + "=x", f"'{'a' * 51}' cannot be a name"),
        ("a=", "a= has no value. Expected NAME=FOLDER or NAME=FILE"),
        ("a=x,a=y", "The name 'a' is given twice, for x and for y. Give each its own."),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(RecipeError) as caught:
        named_settings(text)

    assert str(caught.value).startswith(message)
