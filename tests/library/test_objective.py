"""An objective is the weighted sum of its parts, at the exits that it needs."""

from collections import Counter

import pytest
import torch
from torch import nn

from sbert_prune.losses import PairClassifierLoss
from sbert_prune.training.objective import Batch, MatryoshkaLoss, Objective

ROWS, DIM = 5, 8
NOTHING = Batch(None, None)


def embeddings(exits=1, columns=2, dim=DIM, seed=0):
    torch.manual_seed(seed)
    return nn.functional.normalize(torch.randn(exits, columns, ROWS, dim), dim=-1)


class Task:
    """The labels' loss: it uses every number, weighs the columns differently, and records its input."""

    def __init__(self):
        self.seen = []

    def __call__(self, columns, labels):
        self.seen.append((columns, labels))
        return sum(
            (place + 1) * column.square().mul(torch.arange(1, column.shape[-1] + 1)).sum()
            for place, column in enumerate(columns)
        )

    def parameters(self):
        return []


def distance(found, wanted):
    """Return the mean of 1 - cosine over pairs."""
    pairs = zip(found.reshape(-1, found.shape[-1]), wanted.reshape(-1, wanted.shape[-1]), strict=True)
    each = [1 - float(one @ other / one.norm() / other.norm()) for one, other in pairs]
    return sum(each) / len(each)


def test_labels_alone_are_the_tasks_loss_of_the_last_exit():
    given, labels, task = embeddings(), torch.arange(ROWS), Task()

    loss = Objective(task, 4)(given, Batch(labels, None))

    ((columns, seen),) = task.seen
    assert float(loss) == pytest.approx(float(Task()(list(given[0]), labels)))
    assert isinstance(columns, list)
    assert len(columns) == 2
    assert seen is labels


def test_a_student_that_equals_its_teacher_has_nothing_to_learn():
    given = embeddings(exits=3)
    objective = Objective(None, 3, distillation=1.0, layer_weight=0.5)

    loss = objective(given, Batch(None, given.clone()))

    assert loss.shape == ()
    assert float(loss) == pytest.approx(0.0, abs=1e-6)


def test_the_length_of_a_teachers_embedding_does_not_matter():
    given = embeddings()

    loss = Objective(None, 3, distillation=1.0)(given, Batch(None, 7.0 * given))

    assert float(loss) == pytest.approx(0.0, abs=1e-6)


def test_a_student_opposite_to_its_teacher_is_two_away():
    given = embeddings()

    assert float(Objective(None, 3, distillation=1.0)(given, Batch(None, -given))) == pytest.approx(2.0)


@pytest.mark.parametrize("weight", [0.25, 1.0, 3.0])
def test_distillation_adds_the_distance_to_the_teacher_times_its_weight(weight):
    given, targets, labels = embeddings(), embeddings(seed=1), torch.zeros(ROWS)

    loss = Objective(Task(), 4, distillation=weight)(given, Batch(labels, targets))

    expected = float(Task()(list(given[0]), labels)) + weight * distance(given, targets)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_targets_without_a_weight_have_no_effect():
    given, labels = embeddings(), torch.zeros(ROWS)

    loss = Objective(Task(), 4)(given, Batch(labels, embeddings(dim=3)))

    assert float(loss) == pytest.approx(float(Task()(list(given[0]), labels)))


def test_layers_are_paired_in_their_order_and_their_mean_distance_is_weighed():
    given, targets = embeddings(exits=4), embeddings(exits=4, seed=1)

    loss = Objective(None, 4, distillation=2.0, layer_weight=0.5)(given, Batch(None, targets))

    earlier = sum(distance(given[depth], targets[depth]) for depth in range(3)) / 3
    assert float(loss) == pytest.approx(2.0 * distance(given[3], targets[3]) + 0.5 * earlier, rel=1e-5)


@pytest.mark.parametrize("swapped", [(0, 1), (1, 2), (0, 3)])
def test_each_layer_has_a_target_of_its_own(swapped):
    given = embeddings(exits=4)
    order = list(range(4))
    order[swapped[0]], order[swapped[1]] = swapped[1], swapped[0]
    objective = Objective(None, 4, distillation=1.0, layer_weight=1.0)

    assert float(objective(given, Batch(None, given[order]))) > 0.1


def test_a_student_of_one_layer_has_no_earlier_exit_to_learn():
    given, targets = embeddings(), embeddings(seed=1)
    objective = Objective(None, 1, distillation=1.0, layer_weight=5.0)

    loss = objective(given, Batch(None, targets))

    assert objective.exits(0) == (1,)
    assert float(loss) == pytest.approx(distance(given, targets), rel=1e-5)


def test_too_few_targets_for_the_layers_are_not_passed_over():
    with pytest.raises(ValueError, match="zip"):
        Objective(None, 3, distillation=1.0, layer_weight=1.0)(embeddings(exits=3), Batch(None, embeddings(exits=2)))


@pytest.mark.parametrize("dim", [5, 12])
def test_a_teacher_of_another_width_is_compared_behind_a_projection_that_learns(dim):
    given, targets = embeddings().requires_grad_(), embeddings(dim=dim, seed=1)
    projection = nn.Linear(DIM, dim, bias=False)
    objective = Objective(None, 3, distillation=1.0, projection=projection)

    loss = objective(given, Batch(None, targets))
    loss.backward()

    assert float(loss.detach()) == pytest.approx(
        distance(given.detach() @ projection.weight.detach().T, targets), rel=1e-5
    )
    assert [id(own) for own in objective.parameters()] == [id(projection.weight)]
    assert bool(projection.weight.grad.abs().sum() > 0)
    assert bool(given.grad.abs().sum() > 0)


def test_what_losses_learn_is_the_tasks_and_the_projections():
    task, projection = PairClassifierLoss(DIM, torch.device("cpu")), nn.Linear(DIM, 3, bias=False)

    assert Objective(None, 2).parameters() == []
    assert Objective(Task(), 2).parameters() == []
    found = Objective(MatryoshkaLoss(task, (4,)), 2, projection=projection).parameters()
    assert [id(own) for own in found] == [id(own) for own in (*task.parameters(), projection.weight)]


@pytest.mark.parametrize(
    ("options", "exits"),
    [({}, (6,)), ({"distillation": 1.0}, (6,)), ({"distillation": 1.0, "layer_weight": 0.1}, (1, 2, 3, 4, 5, 6))],
)
def test_exits_are_those_that_the_weights_ask_for(options, exits):
    assert {Objective(None, 6, **options).exits(number) for number in range(20)} == {exits}


@pytest.mark.parametrize("num_layers", [2, 3, 6, 12])
def test_every_earlier_exit_is_trained_about_equally_often(num_layers):
    objective = Objective(Task(), num_layers, adaptive=True, seed=1)

    drawn = [objective.exits(number) for number in range(200 * num_layers)]

    times = Counter(earlier for earlier, _ in drawn)
    assert {last for _, last in drawn} == {num_layers}
    assert sorted(times) == list(range(1, num_layers))
    assert min(times.values()) > 0.75 * len(drawn) / (num_layers - 1)


def test_one_layer_has_no_earlier_exit_to_draw():
    assert Objective(Task(), 1, adaptive=True).exits(3) == (1,)


def test_exits_are_drawn_by_seed_and_batch_alone():
    def drawn(seed):
        return [Objective(Task(), 6, adaptive=True, seed=seed).exits(number) for number in range(50)]

    one, again, other = drawn(1), drawn(1), drawn(2)
    torch.rand(3)

    assert one == again == drawn(1)
    assert one != other


def test_an_earlier_exit_is_trained_on_the_labels_and_towards_the_last_one():
    given, labels, task = embeddings(exits=2), torch.zeros(ROWS), Task()

    loss = Objective(task, 4, adaptive=True)(given, Batch(labels, None))

    wanted, found = (torch.softmax(given[depth].reshape(-1, DIM) / 0.3, dim=-1) for depth in (1, 0))
    divergence = float((wanted * (wanted.log() - found.log())).sum(dim=-1).mean())
    both = sum(float(Task()(list(given[depth]), labels)) for depth in (0, 1))
    assert float(loss) == pytest.approx(both + 0.3 * divergence, rel=1e-5)
    assert divergence > 0


def test_the_last_exit_is_not_pulled_towards_an_earlier_one():
    given = embeddings(exits=2).requires_grad_()
    alone = given.detach()[1:].clone().requires_grad_()

    Objective(Task(), 4, adaptive=True)(given, Batch(torch.zeros(ROWS), None)).backward()
    Objective(Task(), 4)(alone, Batch(torch.zeros(ROWS), None)).backward()

    assert torch.equal(given.grad[1], alone.grad[0])
    assert not torch.equal(given.grad[0], alone.grad[0])


def test_an_exit_that_equals_the_last_does_not_diverge():
    given = embeddings().expand(2, -1, -1, -1)

    loss = Objective(Task(), 4, adaptive=True)(given, NOTHING)

    assert float(loss) == pytest.approx(2 * float(Task()(list(given[0]), None)), rel=1e-5)


def test_exits_and_a_teacher_add_up():
    given, targets = embeddings(exits=2), embeddings(seed=1)

    loss = Objective(Task(), 4, adaptive=True, distillation=0.5)(given, Batch(None, targets))

    without = Objective(Task(), 4, adaptive=True)(given, NOTHING)
    assert float(loss) == pytest.approx(float(without) + 0.5 * distance(given[1], targets[0]), rel=1e-5)


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize(
    "options", [{}, {"adaptive": True}, {"distillation": 1.0, "layer_weight": 1.0}], ids=["plain", "adaptive", "layers"]
)
def test_every_column_and_row_takes_part(columns, options):
    exits = 1 if not options else 2
    given = embeddings(exits=exits, columns=columns).requires_grad_()
    targets = embeddings(exits=exits, columns=columns, seed=1)

    Objective(Task(), 2, **options)(given, Batch(torch.zeros(ROWS), targets)).backward()

    assert bool((given.grad.abs().sum(dim=-1) > 0).all())


def test_an_embedding_of_nothing_but_zeros_is_no_reason_for_what_is_not_a_number():
    given = torch.zeros(1, 2, ROWS, DIM, requires_grad=True)

    loss = Objective(None, 4, distillation=1.0)(given, Batch(None, embeddings(seed=1)))
    loss.backward()

    assert torch.isfinite(loss)
    assert bool(torch.isfinite(given.grad).all())
