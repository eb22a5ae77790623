"""Classifiers on frozen embeddings agree with their plain versions and do not depend on the order of rows."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from sbert_prune.data.rows import LabelledData, LabelledRow, LabelledRows
from sbert_prune.evaluation import classification
from sbert_prune.evaluation import classifiers as neighbours
from sbert_prune.evaluation.classification import ClassificationMeasure
from sbert_prune.evaluation.classifiers import (
    DEFAULT_C,
    STRENGTHS,
    ResampledMacroF1,
    choose_c,
    choose_k,
    predict_logistic,
    predict_neighbours,
)
from sbert_prune.evaluation.embeddings import Embedded

METRICS = ("accuracy", "macro_f1", "knn_accuracy", "knn_macro_f1")


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def clouds(num, *, apart, num_classes=3, dim=8, seed=0):
    """Points around one centre a class, and their classes. *Shapes:* (num, dim), (num,)"""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % num_classes
    centres = np.eye(num_classes, dim) * apart
    return (centres[labels] + rng.standard_normal((num, dim))).astype(np.float32), labels


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows_of(labels, name, places=None):
    places = range(len(labels)) if places is None else places
    return LabelledRows(name, tuple(LabelledRow(f"{name} {place}", f"class {labels[place]}") for place in places), name)


def task(num_train, num_test, **kind):
    """Data and the embeddings of their texts; without train where there are 0 such rows."""
    vectors, labels = clouds(num_train + num_test, **kind)
    train, test = rows_of(labels[:num_train], "train"), rows_of(labels[num_train:], "test")
    data = LabelledData(test, train if num_train else None)
    return data, Embedded([text for rows in (train, test) for text in rows.texts], vectors)


def scores(data, embedded, **settings):
    found = ClassificationMeasure("set", data, **settings).measure(embedded).scores
    return {name.removeprefix("classification/set_"): score for name, score in found.items()}


@pytest.mark.parametrize("num_train", [90, 0])
def test_distant_classes_are_all_predicted_right(num_train):
    found = scores(*task(num_train, 60, apart=30))

    assert tuple(found) == METRICS
    assert {(score.value, score.low, score.high) for score in found.values()} == {(1.0, 1.0, 1.0)}


@pytest.mark.parametrize("num_train", [300, 0])
def test_random_labels_are_predicted_at_chance_level(num_train):
    found = [scores(*task(num_train, 450, apart=0, seed=seed), resamples=300) for seed in range(12)]

    for name in ("accuracy", "knn_accuracy"):
        assert sum(score[name].low <= 1 / 3 <= score[name].high for score in found) >= 9
        assert np.mean([score[name].value for score in found]) == pytest.approx(1 / 3, abs=0.025)


@pytest.mark.parametrize("num_train", [90, 0])
def test_the_interval_holds_the_value_and_has_the_width_of_a_share(num_train):
    found = scores(*task(num_train, 400, apart=2))

    for score in found.values():
        assert score.low < score.value < score.high
        assert score.high - score.low == pytest.approx(
            2 * 1.96 * np.sqrt(score.value * (1 - score.value) / 400), rel=0.25
        )


@pytest.mark.parametrize("num_train", [150, 0])
def test_the_same_input_gives_the_same_draws_and_two_models_share_their_rows(num_train):
    data, embedded = task(num_train, 90, apart=2)
    worse = Embedded([*data.train.texts, *data.test.texts] if data.train else data.test.texts, embedded.vectors[:, :3])

    one, same, other = scores(data, embedded), scores(data, embedded), scores(data, worse)

    for name in METRICS:
        assert (one[name].draws == same[name].draws).all()
        assert (one[name].minus(same[name]).draws == 0).all()
        assert one[name].minus(other[name]).sample == data.test.digest[:16]


@pytest.mark.parametrize("num_train", [200, 0])
def test_the_order_of_the_rows_decides_nothing(num_train):
    data, embedded = task(num_train, 120, apart=2)
    order = np.random.default_rng(1).permutation

    def shuffled(rows):
        return replace(rows, rows=tuple(rows.rows[place] for place in order(len(rows))))

    again = LabelledData(shuffled(data.test), shuffled(data.train) if data.train else None)
    found, expected = (ClassificationMeasure("set", one, most_to_choose=40).measure(embedded) for one in (again, data))

    assert found.values == expected.values
    assert {name: score.value for name, score in found.scores.items()} == {
        name: score.value for name, score in expected.scores.items()
    }


@pytest.mark.parametrize("num_train", [200, 0])
def test_the_names_of_the_classes_decide_nothing(num_train):
    data, embedded = task(num_train, 120, apart=2)

    def renamed(rows):
        names = {"class 0": "z", "class 1": "a", "class 2": "m"}
        return replace(rows, rows=tuple(LabelledRow(row.text, names[row.label]) for row in rows.rows))

    again = LabelledData(renamed(data.test), renamed(data.train) if data.train else None)

    assert {name: score.value for name, score in scores(again, embedded).items()} == pytest.approx(
        {name: score.value for name, score in scores(data, embedded).items()}, abs=1e-12
    )


def test_a_class_that_train_never_has_counts_as_wrong():
    data, embedded = task(90, 60, apart=30)
    train = replace(data.train, rows=tuple(row for row in data.train.rows if row.label != "class 2"))

    found = scores(LabelledData(data.test, train), embedded)

    assert found["accuracy"].value == found["knn_accuracy"].value == pytest.approx(2 / 3)
    assert found["macro_f1"].value < 2 / 3


def test_the_chosen_settings_are_reported():
    data, embedded = task(90, 60, apart=2)

    values = ClassificationMeasure("set", data).measure(embedded).values

    assert values["classification/set_num_classes"] == 3
    assert values["classification/set_num_rows"] == 60
    assert values["classification/set_knn_k"] in neighbours.NUMBERS
    assert values["classification/set_c"] in STRENGTHS


def test_each_row_of_a_single_file_is_predicted_once_by_the_other_folds(monkeypatch):
    data, embedded = task(0, 95, apart=2)
    tested = []

    def spy(train, test, k, num_classes):
        for row in test:
            assert not (train[0] == row).all(axis=1).any()
        tested.extend(map(bytes, test))
        return predict_neighbours(train, test, k, num_classes)

    monkeypatch.setattr(classification, "predict_neighbours", spy)
    scores(data, embedded)

    assert sorted(tested) == sorted(map(bytes, unit(embedded.vectors)))


def test_a_text_that_a_file_holds_twice_is_never_learned_and_tested():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100)
    once = rows_of(labels, "test")
    embedded = Embedded(once.texts, rng.standard_normal((100, 8)).astype(np.float32))

    found = scores(LabelledData(replace(once, rows=once.rows * 3)), embedded)

    assert found["knn_accuracy"].value < 0.7


@pytest.mark.parametrize(("num", "num_classes"), [(4, 2), (6, 3), (11, 2)])
def test_very_small_files_are_judged(num, num_classes):
    found = scores(*task(0, num, apart=30, num_classes=num_classes))

    assert all(0 <= score.value <= 1 for score in found.values())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), num=st.integers(2, 60), k=st.sampled_from([1, 3, 7, 31]))
def test_neighbours_vote_as_a_brute_force_does(seed, num, k):
    vectors, labels = clouds(num + 20, apart=1, seed=seed)
    vectors = unit(vectors)
    train, test = vectors[:num], vectors[num:]

    found = predict_neighbours((train, labels[:num]), test, k, 3)

    for row, told in zip(test, found, strict=True):
        near = sorted(range(num), key=lambda place: -float(train[place] @ row))[:k]
        votes = {
            label: (sum(labels[near] == label), sum(float(train[p] @ row) for p in near if labels[p] == label))
            for label in range(3)
        }
        assert told == max(votes, key=votes.get)


def test_k_is_the_one_with_the_best_leave_one_out_accuracy():
    vectors, labels = clouds(200, apart=2)
    vectors = unit(vectors)
    correct = {}
    for k in neighbours.NUMBERS:
        others = [np.delete(np.arange(200), place) for place in range(200)]
        told = [
            predict_neighbours((vectors[rest], labels[rest]), vectors[[place]], k, 3)[0]
            for place, rest in enumerate(others)
        ]
        correct[k] = (np.array(told) == labels).sum()

    assert choose_k(vectors, labels, 3) == max(correct, key=correct.get)
    assert len(set(correct.values())) > 1


@pytest.mark.parametrize("num", [1, 2, 3])
def test_k_fits_the_number_of_rows(num):
    vectors, labels = clouds(num, apart=1)

    assert choose_k(unit(vectors), labels, 3) == 1


def test_the_regression_is_scikit_learns_on_standardised_embeddings():
    vectors, labels = clouds(300, apart=2)
    train, test = vectors[:200].astype(np.float64), vectors[200:].astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    model = LogisticRegression(C=0.1, max_iter=1000, tol=1e-8).fit((train - mean) / deviation, labels[:200])

    found = predict_logistic((vectors[:200], labels[:200]), vectors[200:], 0.1)

    assert (found == model.predict((test - mean) / deviation)).mean() >= 0.99


def test_scale_and_shift_of_a_dimension_change_nothing_and_a_constant_one_is_not_blown_up():
    vectors, labels = clouds(300, apart=2)
    rng = np.random.default_rng(0)
    rounding = 0.1 + rng.standard_normal((300, 4)).astype(np.float32) * 1e-9
    changed = np.concatenate([vectors * 1000 + 5, rounding.astype(np.float32)], axis=1)

    one = predict_logistic((vectors[:200], labels[:200]), vectors[200:], 0.1)
    other = predict_logistic((changed[:200], labels[:200]), changed[200:], 0.1)

    assert (one == other).mean() >= 0.99


def test_c_is_chosen_by_the_rows_held_out():
    vectors, labels = clouds(400, apart=2, dim=100)
    held_out = np.arange(400) % 5 == 0
    correct = {
        c: (predict_logistic((vectors[~held_out], labels[~held_out]), vectors[held_out], c) == labels[held_out]).sum()
        for c in STRENGTHS
    }

    found = choose_c(vectors, labels, held_out)

    assert correct[found] >= max(correct.values()) - 2  # those that only choose end a little sooner
    assert min(correct.values()) < max(correct.values()) - 2


@pytest.mark.parametrize(("num", "share"), [(300, 0.3), (1000, 0.3), (1000, 0.1)])
def test_a_class_that_most_rows_have_does_not_end_the_search_for_c(num, share):
    """The strongest regularisations all predict the largest class, and are as good as each other."""
    lost = []
    for seed in range(3):  # the held-out rows are few, so that one choice may lose some by chance
        rng = np.random.default_rng(seed)
        labels = (rng.random(num + 3000) < share).astype(np.int64)
        vectors = rng.standard_normal((num + 3000, 30)).astype(np.float32)
        vectors[:, :5] += labels[:, None]
        train, test = (vectors[:num], labels[:num]), (vectors[num:], labels[num:])
        scale = StandardScaler().fit(train[0])
        fits = [
            LogisticRegression(C=c, max_iter=1000).fit(scale.transform(train[0]), train[1]) for c in (*STRENGTHS, 1, 10)
        ]

        c = choose_c(*train, np.arange(num) % 5 == 0)

        best = max(fit.score(scale.transform(test[0]), test[1]) for fit in fits)
        lost.append(best - (predict_logistic(train, test[0], c) == test[1]).mean())

    assert np.mean(lost) <= 0.02


def test_rows_that_can_choose_nothing_leave_c_as_it_is():
    vectors, labels = clouds(3, apart=2)

    assert choose_c(vectors, labels, np.array([False, False, False])) == DEFAULT_C
    assert choose_c(vectors, labels, np.array([True, True, False])) == DEFAULT_C


@settings(deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40), seed=st.integers(0, 1000)
)
def test_macro_f1_is_scikit_learns_on_each_resample_written_out(pairs, seed):
    predicted, gold = (np.array(side) for side in zip(*pairs, strict=True))
    counts = np.random.default_rng(seed).multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), size=5)

    found = ResampledMacroF1(predicted, gold)(counts.astype(np.float64))

    written_out = [np.repeat(np.arange(len(pairs)), drawn) for drawn in counts]
    expected = [f1_score(gold[rows], predicted[rows], average="macro", zero_division=0) for rows in written_out]
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_draws_are_those_of_the_test_rows():
    data, embedded = task(90, 40, apart=2)

    found = scores(data, embedded, resamples=50)

    assert {len(score.draws) for score in found.values()} == {50}
    assert np.allclose(found["accuracy"].draws * 40, np.round(found["accuracy"].draws * 40))


@pytest.mark.parametrize("apart", [1.0, 2.0])
def test_rows_that_stand_twice_change_nothing_for_nearest_neighbours(apart):
    data, embedded = task(120, 60, apart=apart)
    doubled = replace(data, train=replace(data.train, rows=data.train.rows * 2))

    once, twice = (ClassificationMeasure("set", given).measure(embedded) for given in (data, doubled))

    assert twice.values["classification/set_knn_k"] == once.values["classification/set_knn_k"]
    assert (
        twice.scores["classification/set_knn_accuracy"].draws == once.scores["classification/set_knn_accuracy"].draws
    ).all()
