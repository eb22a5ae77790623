"""Rows on disk behave like a list of rows."""

import gc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.leaks import remove_leaks
from sbert_prune.data.rows import Label, NliRow, RowSet, StsRow
from sbert_prune.data.stored import StoredRows
from sbert_prune.errors import DataError

WORDS = st.text(st.sampled_from("abcमराठी "), min_size=1, max_size=6).filter(str.strip)
NLI_ROWS = st.lists(st.builds(NliRow, WORDS, WORDS, st.sampled_from(Label)), max_size=20)


def stored(kind, rows):
    """The rows on disk in several batches."""
    return StoredRows(kind, rows, batch_rows=3)


@settings(deadline=None)
@given(rows=NLI_ROWS, data=st.data())
def test_stored_rows_equal_the_rows(rows, data):
    kept = stored(NliRow, iter(rows))

    assert list(kept) == rows
    assert len(kept) == len(rows)
    assert kept == rows
    if rows:
        places = data.draw(st.lists(st.integers(0, len(rows) - 1)))
        assert kept.take(places) == [rows[place] for place in places]
        assert kept[places[0] if places else 0] == rows[places[0] if places else 0]
        assert kept[-1] == rows[-1]
        assert kept[1::2] == rows[1::2]
    with pytest.raises(IndexError):
        kept[len(rows)]


def test_scores_come_back_to_the_last_bit():
    rows = [StsRow("a", "b", 1 / 3), StsRow("c", "d", 0.0)]

    assert list(stored(StsRow, rows)) == rows


def test_the_file_goes_with_the_rows():
    kept = stored(StsRow, [StsRow("a", "b", 0.5)])
    path = kept._path
    assert path.is_file()

    del kept
    gc.collect()

    assert not path.exists()


def row_set(*pairs):
    rows = [StsRow(one, two, 0.5) for one, two in pairs]
    return RowSet("rows", stored(StsRow, rows), "rows.csv")


def test_train_loses_the_rows_that_are_in_dev_or_test():
    train = row_set(("A b.", "c"), ("d", "e"), ("f", "g"), ("h", "i"))
    held_out = {"dev": row_set(("C", "a  B")), "test": row_set(("x", "G!"))}

    kept, leaks = remove_leaks(train, held_out)

    assert [row.sentence1 for row in kept.rows] == ["d", "h"]
    assert (kept.num_leaks, len(leaks.sentence_rows)) == (2, 2)
    assert kept.digest != train.digest


def test_leaks_may_be_kept():
    train, held_out = row_set(("a", "b"), ("c", "d")), {"test": row_set(("a", "b"))}

    kept, leaks = remove_leaks(train, held_out, keep=True)

    assert (kept, kept.num_leaks, len(leaks.sentence_rows)) == (train, 0, 1)


def test_a_train_split_that_is_the_test_split_is_refused():
    rows = row_set(("a", "b"), ("c", "d"))

    with pytest.raises(DataError, match=r"2 of its 2 train rows share a sentence.*keep_leaks=true"):
        remove_leaks(rows, {"test": rows})


def read_elsewhere(rows):
    return list(rows), len(rows), rows[1]


def test_another_process_reads_the_same_file_and_leaves_it():
    rows = stored(StsRow, [StsRow("a", "b", 0.5), StsRow("c", "d", 1.0)])

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found, count, second = pool.submit(read_elsewhere, rows).result()

    assert found == list(rows) == [StsRow("a", "b", 0.5), StsRow("c", "d", 1.0)]
    assert (count, second) == (2, rows[1])
