"""NLI rows become triplets and samples of whole premises."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_prune.data.rows import Label, NliRow
from sbert_prune.data.triplets import Triplet, anchors, sample_by_premise, triplets
from sbert_prune.errors import DataError

E, N, C = Label.ENTAILMENT, Label.NEUTRAL, Label.CONTRADICTION
WORD = st.sampled_from(["a", "b", "c", "d"])
ROWS = st.lists(st.builds(NliRow, WORD, WORD, st.sampled_from(Label)), min_size=1, max_size=12)


def test_every_entailment_meets_its_premises_contradictions_in_turn():
    rows = [
        NliRow("p", "e1", E),
        NliRow("q", "e", E),
        NliRow("p", "c1", C),
        NliRow("p", "e2", E),
        NliRow("p", "n", N),
        NliRow("p", "c2", C),
        NliRow("r", "c", C),
        NliRow("p", "e3", E),
    ]

    made = list(triplets(rows))

    assert made == [Triplet("p", "e1", "c1"), Triplet("p", "e2", "c2"), Triplet("p", "e3", "c1")]


def test_a_hypothesis_judged_both_ways_contradicts_nothing():
    rows = [NliRow("p", "h", E), NliRow("p", "h", C), NliRow("p", "c", C)]

    made = list(triplets(rows))

    assert made == [Triplet("p", "h", "c")]


def test_rows_without_a_triplet_are_refused_with_counts_and_advice():
    rows = [NliRow("p", "e", E), NliRow("q", "c", C), NliRow("q", "n", N)]

    with pytest.raises(
        DataError,
        match=r"2 premises with 1 entailments and 1 contradictions.*nli_hard_negatives=false",
    ):
        triplets(rows)


def test_entailments_alone_are_pairs_where_no_hard_negatives_are_asked_for():
    rows = [NliRow("p", "e", E), NliRow("p", "n", N), NliRow("q", "f", E)]

    assert list(anchors(rows, hard_negatives=False)) == [("p", "e"), ("q", "f")]
    with pytest.raises(DataError, match=r"0 contradictions.*nli_hard_negatives=false"):
        anchors(rows, hard_negatives=True)
    with pytest.raises(DataError, match=r"0 entailments.*it has nothing to learn from; use nli_loss=softmax"):
        anchors(rows[1:2], hard_negatives=False)


def test_where_triplets_can_be_made_they_are_the_examples():
    rows = [NliRow("p", "e", E), NliRow("p", "c", C), NliRow("q", "f", E)]

    assert [tuple(row) for row in anchors(rows, hard_negatives=False)] == [("p", "e", "c")]


@settings(deadline=None)
@given(rows=ROWS, max_rows=st.integers(1, 12), seed=st.integers(0, 5))
def test_a_sample_is_within_its_size_and_in_the_files_order(rows, max_rows, seed):
    sample = sample_by_premise(rows, max_rows, seed=seed)

    positions = iter(rows)
    assert 1 <= len(sample) <= max_rows
    assert all(row in positions for row in sample)
    assert sample == sample_by_premise(rows, max_rows, seed=seed)


def test_a_sample_takes_whole_premises_so_that_triplets_survive():
    rows = [NliRow(f"premise {number % 100}", f"{label} {number}", label) for label in (E, C) for number in range(100)]

    sample = sample_by_premise(rows, 20, seed=3)

    assert len(sample) == 20
    assert len(triplets(sample)) == 10
