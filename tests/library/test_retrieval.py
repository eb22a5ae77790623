"""Retrieval searches all sentences of a split for the one with a high gold score."""

import numpy as np
import pytest

from sbert_prune.data.rows import StsRow
from sbert_prune.evaluation.embeddings import Embedded
from sbert_prune.evaluation.retrieval import RetrievalMeasure


def split(num_alike=30, num_others=20):
    alike = [StsRow(f"question {k}", f"answer {k}", 0.8 + (k % 3) / 10) for k in range(num_alike)]
    return alike + [StsRow(f"noise {k}", f"other {k}", 0.3) for k in range(num_others)]


def embedded(measure, vector_of):
    texts = list(measure.texts())
    return Embedded(texts, np.array([vector_of(text) for text in texts], dtype=np.float32))


def by_number(text):
    """Question and answer of a number lie next to each other on a circle."""
    kind, number = text.split()
    angle = (
        2 * np.pi * int(number) / 30
        + (0.01 if kind == "answer" else 0.0)
        + (0.1 if kind in {"noise", "other"} else 0.0)
    )
    return np.cos(angle), np.sin(angle)


def test_partners_that_are_nearest_are_all_found():
    measure = RetrievalMeasure("test", split(), "test")

    found = measure.measure(embedded(measure, by_number))

    assert {name: score.value for name, score in found.scores.items()} == {
        "retrieval/test_recall_at_1": 1,
        "retrieval/test_mrr": 1,
    }
    assert found.values == {"retrieval/test_queries": 30}


def test_the_rank_counts_what_is_as_near_or_nearer():
    measure = RetrievalMeasure("test", split(30, 2), "test")  # 60 sentences of alike pairs, 4 others

    def vector(text):
        kind, _ = text.split()
        return {"question": (1, 0), "noise": (1, 0.1), "other": (1, 0.2), "answer": (0, 1)}[kind]

    found = measure.measure(embedded(measure, vector))

    # Nearer than the answer: 29 questions and 4 others; as near: 29 answers.
    assert found.scores["retrieval/test_mrr"].value == pytest.approx(1 / 63)
    assert found.scores["retrieval/test_recall_at_1"].value == 0


def test_a_sentence_finds_neither_itself_nor_its_own_words_in_other_case():
    rows = [*split(), *(StsRow(f"question {k}", f"QUESTION {k}!", 1.0) for k in range(30))]
    measure = RetrievalMeasure("test", rows, "test")

    found = measure.measure(embedded(measure, lambda text: by_number(text.lower().strip("!"))))

    assert found.scores["retrieval/test_recall_at_1"].value == 1
    assert found.values["retrieval/test_queries"] == 30


def test_any_of_several_partners_will_do():
    rows = [*split(), *(StsRow(f"question {k}", f"noise {k}", 1.0) for k in range(20))]
    measure = RetrievalMeasure("test", rows, "test")

    found = measure.measure(embedded(measure, by_number))

    assert found.scores["retrieval/test_recall_at_1"].value == 1


def test_pairs_below_the_bound_are_no_queries():
    rows = [StsRow(f"question {k}", f"answer {k}", 0.79) for k in range(30)] + split()[30:]
    measure = RetrievalMeasure("test", rows, "dev (dev.csv)")

    found = measure.measure(embedded(measure, by_number))

    assert found.scores == {}
    assert found.notes == (
        "dev (dev.csv): retrieval needs 20 queries, and 0 pairs score 0.8 or more (0 to 1) and differ in words",
    )
