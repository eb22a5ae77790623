"""A vocabulary limit is valid, and parsing inverts str."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.values import VocabularyLimit

limits = st.one_of(
    st.just(VocabularyLimit()),
    st.integers(1, 999_999_999).map(lambda pieces: VocabularyLimit(pieces=pieces)),
    st.floats(1e-9, 1).map(lambda share: VocabularyLimit(coverage=round(share, 9) or 1.0)),
)


@given(limit=limits)
def test_parse_inverts_str(limit):
    read = VocabularyLimit.parse(str(limit))

    assert read == limit


@pytest.mark.parametrize(
    ("text", "pieces", "coverage"),
    [
        ("all", None, None),
        ("8000", 8000, None),
        ("0.999", None, 0.999),
        ("1.0", None, 1.0),
        ("1", 1, None),
        (" .5 ", None, 0.5),
    ],
)
def test_a_whole_number_is_a_count_and_a_decimal_point_makes_a_share(text, pieces, coverage):
    limit = VocabularyLimit.parse(text)

    assert (limit.pieces, limit.coverage) == (pieces, coverage)
    assert limit.trims == (text != "all")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "ALL",
        "0",
        "-5",
        "0.0",
        "1.5",
        "nan",
        "inf",
        "1e3",
        "1.",
        "8,000",
        "8 000",
        "٨٠٠٠",
        "1" * 5000,
        "0." + "9" * 5000,
        "50%",
    ],
)
def test_anything_else_is_refused_with_the_right_form(text):
    with pytest.raises(RecipeError, match=r"vocabulary=.*(8000|at least 1)") as refused:
        VocabularyLimit.parse(text)

    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("share", [float("nan"), float("inf"), 0.0, -0.1, 1.0001])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(RecipeError, match=r"a share lies above 0 and is at most 1\.0"):
        VocabularyLimit(coverage=share)


def test_a_count_and_a_share_at_once_are_refused():
    with pytest.raises(RecipeError, match="not both"):
        VocabularyLimit(pieces=8000, coverage=0.9)
