"""Leaks between train and dev or test are found in one pass, and are gone once the rows are dropped."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.leaks import SplitLeaks, find_leaks
from sbert_prune.data.normalise import normalised

TRAIN = [
    ("एक माणूस गातो.", "एक माणूस नाचतो."),
    ("A man sings.", "The sun is up."),
    ("It rains.", "It is dry."),
    ("the SUN is up", "a man sings"),
    ("One boat sails.", "a man sings!"),
    ("एक माणूस नाचतो।", "एक  माणूस गातो"),
]
TEST = [("A man sings.", "The sun is up."), ("एक माणूस गातो.", "एक माणूस नाचतो.")]
DEV = [("It rains.", "A dog barks.")]

sentences = st.sampled_from(["a", "A.", "b", "B", "c!", "गातो", "गातो।", "d"])
pairs = st.lists(st.tuples(sentences, sentences), max_size=6)


def remaining(train, rows):
    return [pair for index, pair in enumerate(train) if index not in set(rows.tolist())]


def forms_of(*splits):
    return {normalised(sentence) for split in splits for pair in split for sentence in pair}


def test_pairs_and_sentences_are_counted_for_each_split():
    leaks = find_leaks(TRAIN, {"dev": DEV, "test": TEST})

    assert leaks.num_train == 6
    assert leaks.splits == {"dev": SplitLeaks(0, 0, 1, 1), "test": SplitLeaks(2, 4, 2, 5)}
    assert leaks.sentence_rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert leaks.sentence_rows.dtype == np.int64


@settings(deadline=None)
@given(train=pairs, dev=pairs, test=pairs)
def test_nothing_is_shared_without_the_rows_to_drop_and_no_row_is_dropped_for_nothing(train, dev, test):
    leaks = find_leaks(iter(train), {"dev": iter(dev), "test": iter(test)})

    assert not forms_of(remaining(train, leaks.sentence_rows)) & forms_of(dev, test)
    assert all(forms_of([train[row]]) & forms_of(dev, test) for row in leaks.sentence_rows)


@settings(deadline=None)
@given(train=pairs, test=pairs)
def test_exact_leaks_are_also_normalised_leaks(train, test):
    found = find_leaks(train, {"test": test}).splits["test"]

    assert found.exact_pairs == sum(pair in test or pair[::-1] in test for pair in train)
    assert found.exact_sentences == sum(any(sentence in other for other in test for sentence in pair) for pair in train)
    assert found.exact_pairs <= found.pairs <= found.sentences
    assert found.exact_pairs <= found.exact_sentences <= found.sentences


def test_people_read_counts_and_three_examples_with_pairs_first():
    train = [("It rains.", "It is dry."), *TRAIN]

    lines = find_leaks(train, {"dev": DEV, "test": TEST}).lines()

    assert lines == [
        "shared with dev: 0 of 7 train rows by their pair (0 letter for letter), 2 by a sentence (2 letter for letter)",
        "shared with test: 4 of 7 train rows by their pair (2 letter for letter), 5 by a sentence (2 letter for "
        "letter)",
        "  row 2 of train, also in test: 'एक माणूस गातो.' / 'एक माणूस नाचतो.'",
        "  row 3 of train, also in test: 'A man sings.' / 'The sun is up.'",
        "  row 5 of train, also in test: 'the SUN is up' / 'a man sings'",
    ]


def test_an_example_shows_the_shared_sentence_only_and_cuts_a_long_one():
    long = "a very long sentence " * 10

    leaks = find_leaks([(long, "it rains")], {"dev": [(long, "x")], "test": [("y", long)]})

    assert leaks.examples == (f"row 1 of train, also in dev and test: {long[:57] + '...'!r}",)


def test_an_example_of_a_pair_names_only_the_splits_that_have_the_pair():
    leaks = find_leaks([("a", "b")], {"dev": [("a", "c")], "test": [("b", "a")]})

    assert leaks.examples == ("row 1 of train, also in test: 'a' / 'b'",)


@pytest.mark.parametrize("train", [[], [("a", "b")]])
def test_where_nothing_is_shared_there_is_nothing_to_drop_or_to_read(train):
    leaks = find_leaks(train, {"dev": [("c", "d")], "test": []})

    assert leaks.num_train == len(train)
    assert leaks.splits == {"dev": SplitLeaks(), "test": SplitLeaks()}
    assert len(leaks.sentence_rows) == 0
    assert leaks.lines() == []


def test_train_is_not_kept():
    train = ((f"the man number {number} sings a song", f"a song of {number} is sung") for number in range(50_000))
    held_out = [(f"the man number {number} sings a song", "it rains") for number in range(100)]

    tracemalloc.start()
    leaks = find_leaks(train, {"test": held_out})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert leaks.sentence_rows.tolist() == list(range(100))
    assert peak < 500_000
