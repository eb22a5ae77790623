"""One STS file is split so that no sentence stands on two sides."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.split import num_shared_pairs, split_rows
from sbert_prune.errors import DataError
from sbert_prune.rows import StsRow


def pairs(count):
    return [StsRow(f"left {number}", f"right {number}", 0.5) for number in range(count)]


def test_a_file_is_split_80_10_10_in_its_order():
    rows = pairs(200)

    splits = split_rows(rows, "s.csv")

    assert {split: len(part) for split, part in splits.items()} == {"train": 160, "dev": 20, "test": 20}
    assert all(list(part) == [row for row in rows if row in set(part)] for part in splits.values())


@settings(deadline=None)
@given(links=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 150)), max_size=15))
def test_no_sentence_stands_on_two_sides(links):
    rows = pairs(151) + [StsRow(f"LEFT  {one}", f"right {other}", 0.1) for one, other in links]

    splits = split_rows(rows, "s.csv")

    sides = [{" ".join(text.lower().split()) for row in part for text in (row.sentence1, row.sentence2)} for part in splits.values()]
    assert sum(map(len, splits.values())) == len(rows)
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


def test_the_split_does_not_depend_on_the_order_of_the_rows():
    rows = pairs(100)

    forth, back = split_rows(rows, "s.csv"), split_rows(rows[::-1], "s.csv")

    assert {split: set(part) for split, part in forth.items()} == {split: set(part) for split, part in back.items()}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (pairs(29), "s.csv has 29 rows, too few to split 80/10/10; give at least 30"),
        ([StsRow("the same", f"right {number}", 0.5) for number in range(50)], "dev would get 0 of 50 rows"),
    ],
)
def test_rows_that_cannot_be_split_are_refused(rows, expected):
    with pytest.raises(DataError) as caught:
        split_rows(rows, "s.csv")

    assert expected in str(caught.value)
    assert "a folder with train, dev and test" in str(caught.value)


def test_shared_pairs_are_counted_in_either_order():
    left = [StsRow("A b", "c", 0.1), StsRow("d", "e", 0.2), StsRow("f", "g", 0.3)]

    count = num_shared_pairs(left, [StsRow("C", "a  b", 0.9), StsRow("d", "e", 0.2)])

    assert count == 2
