"""Every loss is the formula of its paper, and finite for every batch."""

import math

import pytest
import torch
from torch import nn

from sbert_prune.losses import PairClassifierLoss, build_loss
from sbert_prune.recipe.settings import NliSettings, StsSettings
from sbert_prune.training.objective import MatryoshkaLoss

CPU = torch.device("cpu")
DIM = 16


@pytest.fixture
def model(tiny_model):
    """The model that the losses are created with; they do not run it."""
    return tiny_model("bert", depth=1, width=DIM)


def columns(count, rows=5, dim=DIM):
    torch.manual_seed(0)
    return [nn.functional.normalize(torch.randn(rows, dim), dim=1) for _ in range(count)]


def nli(model, **settings):
    return build_loss("nli", model, NliSettings(epochs=1, batch_size=5, learning_rate=1e-3, **settings), CPU)


def sts(model, **settings):
    return build_loss("sts", model, StsSettings(epochs=1, batch_size=5, learning_rate=1e-3, **settings), CPU)


def cross_entropy(scores):
    return nn.functional.cross_entropy(scores, torch.arange(len(scores)))


@pytest.mark.parametrize("scale", [1.0, 20.0, 50.0])
@pytest.mark.parametrize("count", [2, 3])
def test_ranking_is_the_cross_entropy_of_finding_the_entailment(model, count, scale):
    anchors, *others = columns(count)

    loss = nli(model, scale=scale)([anchors, *others], None)

    assert float(loss) == pytest.approx(float(cross_entropy(scale * anchors @ torch.cat(others).T)), rel=1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_ranking_in_both_directions_is_the_mean_of_finding_the_entailment_and_finding_the_premise(model, count):
    anchors, entailments, *others = columns(count)

    loss = nli(model, directions="both", scale=10.0)([anchors, entailments, *others], None)

    forward = cross_entropy(10 * anchors @ torch.cat([entailments, *others]).T)
    backward = cross_entropy(10 * entailments @ anchors.T)
    assert float(loss) == pytest.approx(float((forward + backward) / 2), rel=1e-5)


def test_the_classifier_is_the_cross_entropy_of_a_map_of_both_and_their_distance(model):
    loss, (left, right), labels = nli(model, loss="softmax"), columns(2), torch.tensor([0, 1, 2, 0, 1])
    weight, bias = loss.parameters()

    found = loss([left, right], labels)

    scores = torch.stack(
        [torch.cat([one, other, (one - other).abs()]) @ weight.T + bias for one, other in zip(left, right, strict=True)]
    )
    assert weight.shape == (3, 3 * DIM)
    assert float(found.detach()) == pytest.approx(float(nn.functional.cross_entropy(scores, labels).detach()), rel=1e-5)


def test_the_classifier_wants_a_class_for_each_pair():
    with pytest.raises(ValueError, match="needs the class of each pair"):
        PairClassifierLoss(4, CPU)([torch.zeros(2, 4), torch.zeros(2, 4)], None)


def test_cosine_is_the_mean_squared_error_between_similarity_and_score(model):
    left, right = columns(2)
    scores = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])

    loss = sts(model, loss="cosine")([left, right], scores)

    assert float(loss) == pytest.approx(float((((left * right).sum(dim=1)) - scores).square().mean()), rel=1e-5)


def angle(left, right):
    """AnglE's similarity of two vectors, taken as complex numbers (arXiv 2309.12871)."""
    half = len(left) // 2
    one, other = torch.complex(left[:half], left[half:]), torch.complex(right[:half], right[half:])
    product = (one * other.conj()).sum() / (one.abs().square().sum().sqrt() * other.abs().square().sum().sqrt())
    return abs(float(product.real + product.imag))


def cosine(left, right):
    return float(left @ right / left.norm() / right.norm())


@pytest.mark.parametrize(("name", "similarity"), [("cosent", cosine), ("angle", angle)])
@pytest.mark.parametrize(
    "scores", [[0.1, 0.9, 0.5, 0.3, 0.7], [0.0, 1.0, 1.0, 0.0, 0.5], [0.5] * 5], ids=["all differ", "ties", "all tied"]
)
def test_the_order_of_pairs_is_compared_pair_by_pair(model, name, similarity, scores):
    left, right = columns(2)

    loss = sts(model, loss=name, scale=5.0)([left, right], torch.tensor(scores))

    found = [similarity(one, other) for one, other in zip(left, right, strict=True)]
    wrong = [
        math.exp(5 * (found[low] - found[high])) for low in range(5) for high in range(5) if scores[low] < scores[high]
    ]
    assert float(loss) == pytest.approx(math.log(1 + sum(wrong)), rel=1e-4, abs=1e-6)


LOSSES = {
    "mnrl": (3, None, nli),
    "mnrl both": (2, None, lambda model: nli(model, directions="both")),
    "softmax": (2, [2, 0, 1, 1, 0], lambda model: nli(model, loss="softmax")),
    "cosine": (2, [0.0, 1.0, 0.5, 0.5, 0.2], lambda model: sts(model, loss="cosine")),
    "cosent": (2, [0.0, 1.0, 0.5, 0.5, 0.2], lambda model: sts(model, loss="cosent")),
    "angle": (2, [0.0, 1.0, 0.5, 0.5, 0.2], lambda model: sts(model, loss="angle")),
}
"""Columns, labels of five rows, and the loss."""
CASES = {
    "one row": lambda columns: [column[:1] for column in columns],
    "a pair of the same sentence twice": lambda columns: [columns[0]] * len(columns),
    "rows that are all alike": lambda columns: [column[:1].expand(5, -1) for column in columns],
    "opposites": lambda columns: [columns[0], *[-columns[0]] * (len(columns) - 1)],
    "two rows": lambda columns: [column[:2] for column in columns],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_are_finite(model, name, case):
    count, labels, make = LOSSES[name]
    given = [column.clone().requires_grad_() for column in CASES[case](columns(count))]

    loss = make(model)(given, None if labels is None else torch.tensor(labels[: len(given[0])]))
    loss.backward()

    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert all(bool(torch.isfinite(column.grad).all()) for column in given)


@pytest.mark.parametrize("name", ["mnrl", "mnrl both", "cosine", "cosent", "angle"])
@pytest.mark.parametrize("dims", [(8,), (8, 4), (7, 3, 1), (DIM,)])
def test_matryoshka_is_the_mean_over_the_whole_and_its_normalised_beginnings(model, name, dims):
    count, labels, make = LOSSES[name]
    given, loss = columns(count), make(model)
    labels = None if labels is None else torch.tensor(labels)

    found = MatryoshkaLoss(loss, dims)(given, labels)

    cut = [[column[:, :dim] / column[:, :dim].norm(dim=1, keepdim=True) for column in given] for dim in dims]
    each = [float(loss(one, labels)) for one in (given, *cut)]
    assert float(found) == pytest.approx(sum(each) / len(each), rel=1e-4)


def test_the_whole_of_a_matryoshka_is_taken_as_it_is():
    seen = []

    class Recorder:
        def __call__(self, embeddings, _labels):
            seen.append(embeddings)
            return embeddings[0].sum()

        def parameters(self):
            return []

    given = [torch.full((2, 4), 3.0), torch.full((2, 4), 5.0)]

    MatryoshkaLoss(Recorder(), (2,))(given, None)

    assert all(torch.equal(one, other) for one, other in zip(seen[0], given, strict=True))
    assert all(torch.allclose(column.norm(dim=1), torch.ones(2)) for column in seen[1])
    assert [column.shape for column in seen[1]] == [(2, 2), (2, 2)]


def test_the_classifier_can_be_trained_on_the_first_dimensions_too(model):
    loss = MatryoshkaLoss(nli(model, loss="softmax"), (8, 4))
    given = [column.requires_grad_() for column in columns(2)]

    found = loss(given, torch.tensor([0, 1, 2, 0, 1]))
    found.backward()

    assert torch.isfinite(found)
    assert all(parameter.grad is not None for parameter in loss.parameters())


def test_a_loss_without_weights_learns_none_and_a_matryoshka_those_of_the_loss_inside(model):
    classifier = nli(model, loss="softmax")

    assert nli(model).parameters() == sts(model).parameters() == []
    assert [id(own) for own in MatryoshkaLoss(classifier, (4,)).parameters()] == [
        id(own) for own in classifier.parameters()
    ]
    assert all(parameter.requires_grad for parameter in classifier.parameters())


def test_losses_take_their_embeddings_and_leave_the_model_alone(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    for count, labels, make in LOSSES.values():
        given = [column.requires_grad_() for column in columns(count)]
        make(model)(given, None if labels is None else torch.tensor(labels)).backward()

    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
