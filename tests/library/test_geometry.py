"""The geometry of embeddings: values known by hand, and invariances."""

import numpy as np
import pytest

from sbert_prune.evaluation.embeddings import Embedded, embed_once
from sbert_prune.evaluation.geometry import Geometry, GeometryMeasure


def unit(*shape, seed=0, shift=0.0):
    vectors = np.random.default_rng(seed).normal(size=shape) + shift
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def opposites(number):
    """Orthonormal vectors and their opposites, so that their mean is 0 and centring moves nothing."""
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(2 * number, number)))[0].T
    return np.concatenate([axes, -axes])


def as_tuple(found):
    return found.anisotropy, found.effective_rank, found.first_direction


@pytest.mark.parametrize("number", [1, 3, 8])
def test_orthonormal_directions_are_counted(number):
    found = Geometry.of(opposites(number))

    assert found.effective_rank == pytest.approx(number)
    assert found.first_direction == pytest.approx(1 / number)


def test_equal_vectors_are_collapsed():
    assert as_tuple(Geometry.of(np.tile(unit(1, 6), (40, 1)))) == (pytest.approx(1), 0.0, 1.0)


def test_equal_vectors_but_for_the_rounding_of_float32_are_collapsed_too():
    vectors = np.tile(unit(1, 6), (40, 1)).astype(np.float32)
    vectors[::2] = np.nextafter(vectors[::2], np.float32(2))

    assert Geometry.of(vectors.astype(np.float64)).effective_rank == 0


def test_two_opposites_have_the_least_anisotropy_in_one_direction():
    assert as_tuple(Geometry.of(opposites(1))) == (pytest.approx(-1), pytest.approx(1), pytest.approx(1))


@pytest.mark.parametrize("shape", [(30, 5), (5, 30)])
def test_the_numbers_are_those_of_their_definitions(shape):
    vectors = unit(*shape, shift=0.5)
    cosines = vectors @ vectors.T
    singular = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False)
    shares = singular[singular > 1e-12] / singular.sum()

    found = Geometry.of(vectors)

    assert found.anisotropy == pytest.approx(cosines[~np.eye(len(vectors), dtype=bool)].mean())
    assert found.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert found.first_direction == pytest.approx(singular[0] ** 2 / (singular**2).sum())


def test_a_rotation_and_another_order_change_nothing():
    vectors = unit(40, 6, shift=0.3)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]

    assert as_tuple(Geometry.of(vectors[::-1] @ rotation)) == pytest.approx(as_tuple(Geometry.of(vectors)))


def test_a_common_direction_raises_anisotropy_alone():
    vectors = opposites(4)
    moved = np.hstack([vectors, np.ones((8, 1))]) / np.sqrt(2)

    assert as_tuple(Geometry.of(moved)) == pytest.approx((Geometry.of(vectors).anisotropy / 2 + 0.5, 4, 0.25))


def test_a_measure_reports_under_its_names_whatever_the_length_of_the_embeddings(sentences):
    vectors = unit(30, 6)
    longer = vectors * np.linspace(1, 9, 30)[:, None]

    found = GeometryMeasure(sentences, "dev").measure(Embedded(sentences, longer.astype(np.float32)))

    expected = Geometry.of(vectors)
    assert found.values == {
        "geometry/anisotropy": pytest.approx(expected.anisotropy, abs=1e-6),
        "geometry/effective_rank": pytest.approx(expected.effective_rank, abs=1e-5),
        "geometry/first_direction": pytest.approx(expected.first_direction, abs=1e-6),
    }


def test_each_sentence_counts_once_and_their_order_not_at_all(tiny_model, sentences):
    model = tiny_model()
    once, again = (
        GeometryMeasure(sentences, "dev", at_most=9),
        GeometryMeasure((*sentences[::-1], *sentences), "dev", at_most=9),
    )

    found = once.measure(embed_once(model, once.texts(), "dev"))

    assert len(set(once.texts())) == 9
    assert list(once.texts()) == list(again.texts())
    assert set(once.texts()) != set(sentences[:9])
    assert found.values == again.measure(embed_once(model, again.texts(), "dev")).values


def test_two_thousand_sentences_are_enough():
    assert len(list(GeometryMeasure([str(number) for number in range(2100)], "dev").texts())) == 2000


@pytest.mark.parametrize("sentences", [[], ["one"], ["one", "one"]])
def test_fewer_than_two_sentences_are_a_note(sentences):
    measure = GeometryMeasure(sentences, "dev.csv")

    found = measure.measure(Embedded(list(measure.texts()), np.ones((len(set(sentences)), 3), dtype=np.float32)))

    assert found.values == {}
    assert found.notes == (
        f"dev.csv: the embeddings' geometry needs 2 sentences or more, and there are {len(set(sentences))}",
    )
