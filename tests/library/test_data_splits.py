"""An STS file is split so that no sentence is in two splits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.rows import RowSet, StsRow
from sbert_prune.data.splits import split_rows
from sbert_prune.errors import DataError


def pairs(count):
    return [StsRow(f"left {number}", f"right {number}", 0.5) for number in range(count)]


def split(rows, *shares):
    return {name: part.rows for name, part in split_rows(RowSet("s.csv", tuple(rows), "s.csv"), *shares).items()}


def test_a_file_is_split_80_10_10_in_its_order():
    rows = pairs(200)

    splits = split(rows)

    assert {name: len(part) for name, part in splits.items()} == {"train": 160, "dev": 20, "test": 20}
    assert all(list(part) == [row for row in rows if row in set(part)] for part in splits.values())


def test_the_shares_are_the_user_s():
    splits = split(pairs(200), (0.5, 0.1, 0.4))

    assert {name: len(part) for name, part in splits.items()} == {"train": 100, "dev": 20, "test": 80}


@settings(deadline=None)
@given(links=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 150)), max_size=15))
def test_no_sentence_is_in_two_splits(links):
    rows = pairs(151) + [StsRow(f"LEFT  {one}", f"right {other}", 0.1) for one, other in links]

    splits = split(rows)

    sides = [
        {" ".join(text.lower().split()) for row in part for text in (row.sentence1, row.sentence2)}
        for part in splits.values()
    ]
    assert sum(map(len, splits.values())) == len(rows)
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


def test_the_split_does_not_depend_on_the_order_of_the_rows():
    rows = pairs(100)

    forth, back = split(rows), split(rows[::-1])

    assert {name: set(part) for name, part in forth.items()} == {name: set(part) for name, part in back.items()}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (pairs(29), "s.csv has 29 rows, too few to split 80/10/10; give at least 30"),
        ([StsRow("the same", f"right {number}", 0.5) for number in range(50)], "dev would get 0 of 50."),
    ],
)
def test_rows_that_cannot_be_split_are_refused(rows, expected):
    with pytest.raises(DataError) as caught:
        split(rows)

    assert expected in str(caught.value)
    assert "a folder" in str(caught.value)
