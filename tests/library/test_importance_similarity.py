"""What CKA and the angle between vectors are invariant to, and what they measure."""

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import nn

from sbert_prune.layer_analysis.profile import LayerProfile
from sbert_prune.layer_analysis.similarity import angular_distance, layer_similarity, linear_cka, ranking_loss_of


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_cka_is_blind_to_rotation_scale_and_place():
    vectors = normal(40, 6)
    rotation = np.linalg.qr(normal(6, 6, seed=1))[0]

    assert linear_cka(vectors, 3 * vectors @ rotation + 5) == pytest.approx(1, abs=1e-6)
    assert linear_cka(vectors, normal(40, 6, seed=2)) < 0.5


def test_cka_equals_the_form_over_sentences():
    left, right = normal(40, 6), normal(40, 9, seed=1) + normal(40, 1)
    centring = np.eye(40) - 1 / 40
    grams = [centring @ side @ side.T @ centring for side in (left, right)]
    expected = (grams[0] * grams[1]).sum() / np.linalg.norm(grams[0]) / np.linalg.norm(grams[1])

    assert linear_cka(left, right) == pytest.approx(expected, abs=1e-6)


def test_vectors_without_variation_are_like_nothing_but_each_other():
    constant = np.tile(normal(1, 6), (40, 1))

    assert linear_cka(constant, normal(40, 6)) == 0
    assert linear_cka(normal(40, 6), constant) == 0
    assert linear_cka(constant, constant * 2) == 1


def test_cka_of_vectors_that_are_not_finite_is_not_finite():
    broken = normal(4, 3)
    broken[1, 1] = np.nan

    assert np.isnan(linear_cka(broken, normal(4, 3)))


@pytest.mark.parametrize(
    ("other", "expected"), [((2, 0), 0), ((1, 1), 0.25), ((0, 3), 0.5), ((-1, 0), 1), ((1, 1e-5), 1e-5 / np.pi)]
)
def test_the_angular_distance_by_hand(other, expected):
    left, right = np.array([[1, 0]], dtype=np.float32), np.array([other], dtype=np.float32)

    assert angular_distance(left, right) == pytest.approx(expected, rel=1e-6)


def test_the_angular_distance_is_a_mean_over_sentences():
    left, right = np.array([[1, 0], [1, 0]], dtype=np.float32), np.array([[0, 1], [1, 0]], dtype=np.float32)

    assert angular_distance(left, right) == pytest.approx(0.25)


def test_the_similarity_of_all_depths_is_symmetric_and_one_on_the_diagonal():
    profile = LayerProfile(np.stack([normal(40, 6, seed=seed) for seed in range(4)]), np.zeros(3))

    matrix = layer_similarity(profile)

    assert matrix.shape == (4, 4)
    assert np.array_equal(matrix, matrix.T)
    assert np.array_equal(np.diag(matrix), np.ones(4))
    assert matrix[1, 3] == linear_cka(profile.vectors[3], profile.vectors[1])


@pytest.mark.parametrize("num_pairs", [2, 64, 70])
def test_the_ranking_loss_is_that_of_the_library_over_batches_of_64(num_pairs):
    anchors, entailments = normal(num_pairs, 6), normal(num_pairs, 6, seed=1)
    library = MultipleNegativesRankingLoss(nn.Identity(), scale=20.0)
    parts = [
        (torch.from_numpy(anchors[part]), torch.from_numpy(entailments[part])) for part in (slice(64), slice(64, None))
    ]
    expected = (
        sum(
            float(library.compute_loss_from_embeddings(list(part), None)) * len(part[0])
            for part in parts
            if len(part[0])
        )
        / num_pairs
    )

    assert ranking_loss_of(anchors, entailments) == pytest.approx(expected, rel=1e-5)
