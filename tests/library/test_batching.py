"""Each row is in one batch per epoch, with rows of similar length; unique batches contain no sentence twice."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.training.batches import Examples, Tokens, plan_batches


def examples(index, lengths=None):
    """Return rows of sentence numbers. Sentence n has `lengths[n]` pieces, 3 + n by default."""
    index = np.asarray(index, dtype=np.intp)
    count = int(index.max()) + 1
    lengths = range(3, 3 + count) if lengths is None else lengths
    ends = np.cumsum(np.fromiter(lengths, dtype=np.int64))
    return Examples(Tokens(np.zeros(ends[-1], dtype=np.int32), ends), index, None, 0)


def plan(rows, batch_size=8, *, epochs=1.0, seed=0, unique=False):
    return [batch.tolist() for batch in plan_batches(rows, batch_size, epochs=epochs, seed=seed, unique=unique)]


def padded_pieces(rows, batches):
    return sum(len(batch) * int(rows.widths[batch].max()) for batch in batches)


rows_of_sentences = st.integers(1, 12).flatmap(
    lambda sentences: st.lists(st.tuples(*[st.integers(0, sentences - 1)] * 3), min_size=1, max_size=120)
)


@settings(deadline=None)
@given(index=rows_of_sentences, batch_size=st.integers(1, 40), seed=st.integers(0, 99), unique=st.booleans())
def test_each_row_stands_in_exactly_one_batch_of_an_epoch(index, batch_size, seed, unique):
    batches = plan(examples(index), batch_size, seed=seed, unique=unique)

    assert sorted(row for batch in batches for row in batch) == list(range(len(index)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)


@settings(deadline=None)
@given(index=rows_of_sentences, batch_size=st.integers(1, 40), seed=st.integers(0, 99))
def test_rows_of_a_unique_batch_share_no_sentence(index, batch_size, seed):
    batches = plan(examples(index), batch_size, seed=seed, unique=True)

    for batch in batches:
        distinct = [set(index[row]) for row in batch]
        assert len(set().union(*distinct)) == sum(map(len, distinct))


def test_a_batch_of_one_row_stays_one_row():
    assert [len(batch) for batch in plan(examples([(0, 0, 0), (1, 1, 1)]), 1, unique=True)] == [1, 1]


def test_rows_that_share_nothing_fill_their_batches():
    rows = examples(np.arange(300).reshape(100, 3))

    sizes = sorted(len(batch) for batch in plan(rows, 8, unique=True))

    assert sizes == [4, *[8] * 12]


@pytest.mark.parametrize("unique", [True, False])
def test_the_same_seed_plans_the_same_batches_and_another_seed_others(unique):
    rows = examples(np.random.default_rng(0).integers(0, 300, (200, 2)))

    assert plan(rows, seed=1, unique=unique) == plan(rows, seed=1, unique=unique)
    assert plan(rows, seed=1, unique=unique) != plan(rows, seed=2, unique=unique)


@pytest.mark.parametrize("unique", [True, False])
def test_epochs_differ_in_their_batches_and_each_shows_every_row(unique):
    rows = examples(np.arange(400).reshape(200, 2), lengths=[5, 9] * 200)

    batches = plan(rows, epochs=2, unique=unique)

    first, second = batches[: len(batches) // 2], batches[len(batches) // 2 :]
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(200))
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


@pytest.mark.parametrize("epochs", [0.001, 0.25, 0.5, 1, 1.5, 2.75, 3])
def test_a_fraction_of_an_epoch_shows_that_fraction_of_the_batches(epochs):
    rows = examples(np.arange(400).reshape(200, 2))

    batches = plan(rows, 10, epochs=epochs)

    assert len(batches) == max(1, round(epochs * 20))


def test_a_longer_phase_begins_like_a_shorter_one():
    rows = examples(np.arange(400).reshape(200, 2))

    assert plan(rows, epochs=2.5)[:25] == plan(rows, epochs=1)


@pytest.mark.parametrize("unique", [True, False])
def test_rows_of_like_length_share_a_batch(unique):
    rng = np.random.default_rng(0)
    rows = examples(np.arange(1000).reshape(500, 2), lengths=rng.integers(3, 60, 1000))
    at_random = rng.permutation(500).reshape(-1, 20).tolist()

    planned = plan(rows, 20, unique=unique)

    needed = int(rows.widths.sum())
    assert padded_pieces(rows, planned) - needed < 0.2 * (padded_pieces(rows, at_random) - needed)


def test_short_batches_do_not_come_before_long_ones():
    rows = examples(np.arange(1000).reshape(500, 2), lengths=np.repeat(np.arange(3, 503), 2))

    widths = [int(rows.widths[batch].max()) for batch in plan(rows, 10)]

    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.5


def test_the_width_of_a_row_is_that_of_its_longest_sentence():
    rows = examples([[0, 1], [2, 0], [1, 1]], lengths=[5, 9, 3])

    assert rows.widths.tolist() == [9, 5, 9]
