"""However a batch is split into passes, its gradient is that of one pass over the whole batch."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer import losses as theirs

from sbert_prune.losses import build_loss
from sbert_prune.recipe.settings import NliSettings, StsSettings
from sbert_prune.training import gradients
from sbert_prune.training.batches import tokenize_rows
from sbert_prune.training.device import Hardware
from sbert_prune.training.embedding import embed_batch
from sbert_prune.training.gradients import Gradient, _split_by_length
from sbert_prune.training.objective import Objective

CPU = Hardware(torch.device("cpu"), bfloat16=False)
CPU_BFLOAT16 = Hardware(torch.device("cpu"), bfloat16=True)
TAILS = (
    "",
    "and the dog",
    "in the street and not on the river",
    "quickly and the child sings a song in the street on the river",
)
NLI, STS = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3}, {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3}
BOTH = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}


@pytest.fixture(autouse=True)
def _every_saving_is_worth_a_pass(monkeypatch):
    monkeypatch.setitem(gradients._MIN_SAVING, "cpu", 1)


@pytest.fixture
def texts(sentences):
    """24 rows of three sentences, of very different length; some sentences are in several rows."""
    spread = [f"{sentence} {TAILS[number % len(TAILS)]}".strip() for number, sentence in enumerate(sentences)]
    return [(spread[row % 12], spread[row], spread[-1 - row]) for row in range(24)]


@pytest.fixture
def model(tiny_model):
    """A small model in evaluation mode, without dropout."""
    return tiny_model("bert", depth=2)


def gradient_of(model, examples, objective, rows, **options):
    """Return the loss of one batch and the gradients of all parameters."""
    hardware = options.pop("hardware", CPU)
    learning = [*model.parameters(), *objective.parameters()]
    for parameter in learning:
        parameter.grad = None
    share, number = options.pop("share", 1.0), options.pop("batch_number", 0)
    loss = Gradient(model, examples, objective, hardware, **options).add(np.asarray(rows), number, share=share)
    return loss, collected(learning)


def collected(learning):
    found = [None if parameter.grad is None else parameter.grad.clone() for parameter in learning]
    for parameter in learning:
        parameter.grad = None
    return found


def assert_close(found, expected, *, rtol=1e-4, atol=2e-6):
    assert [gradient is None for gradient in found] == [gradient is None for gradient in expected]
    assert any(gradient is not None and bool(gradient.abs().max() > 1e-3) for gradient in expected)
    pairs = [(one, other) for one, other in zip(found, expected, strict=True) if one is not None]
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


def assert_equal(found, expected):
    assert all(one is other is None or torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def nli(model, **settings):
    return build_loss("nli", model, NliSettings(**NLI, **settings), CPU.device)


def sts(model, loss):
    return build_loss("sts", model, StsSettings(**STS, loss=loss), CPU.device)


class Softmax:
    """SoftmaxLoss with our classifier's weights: its own would be random."""

    def __init__(self, model, ours):
        self.model, (self.weight, self.bias) = model, ours.parameters()

    def __call__(self, features, labels):
        left, right = (self.model(column)["sentence_embedding"] for column in features)
        given = torch.cat([left, right, (left - right).abs()], dim=1)
        return torch.nn.functional.cross_entropy(given @ self.weight.T + self.bias, labels)


LOSSES = {
    "mnrl": (3, nli, lambda model, _: theirs.MultipleNegativesRankingLoss(model)),
    "mnrl without hard negatives": (2, nli, lambda model, _: theirs.MultipleNegativesRankingLoss(model)),
    "mnrl both": (
        3,
        lambda model: nli(model, directions="both"),
        lambda model, _: theirs.MultipleNegativesRankingLoss(model, **BOTH),
    ),
    "mnrl both without hard negatives": (
        2,
        lambda model: nli(model, directions="both"),
        lambda model, _: theirs.MultipleNegativesRankingLoss(model, **BOTH),
    ),
    "softmax": (2, lambda model: nli(model, loss="softmax"), Softmax),
    "cosine": (2, lambda model: sts(model, "cosine"), lambda model, _: theirs.CosineSimilarityLoss(model)),
    "cosent": (2, lambda model: sts(model, "cosent"), lambda model, _: theirs.CoSENTLoss(model)),
    "angle": (2, lambda model: sts(model, "angle"), lambda model, _: theirs.AnglELoss(model)),
}
"""Columns, our loss, and sentence-transformers' own, which runs the model itself."""


def labels_for(name, count):
    return torch.arange(count) % 3 if name == "softmax" else torch.linspace(0, 1, count)


@pytest.mark.parametrize("limit", [1, 2, 5, None])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_one_plain_forward_pass(model, texts, name, limit):
    columns, make, make_theirs = LOSSES[name]
    labels, chosen = labels_for(name, len(texts)), [7, 0, 21, 13, 2, 18, 5]
    examples = tokenize_rows(model, [row[:columns] for row in texts], labels)
    ours = make(model)
    batch = [[texts[row][column] for row in chosen] for column in range(columns)]
    expected_loss = make_theirs(model, ours)([model.preprocess(column) for column in batch], labels[chosen])
    expected_loss.backward()
    expected = collected([*model.parameters(), *ours.parameters()])

    loss, found = gradient_of(model, examples, Objective(ours, 2), chosen, limit=limit)

    assert float(loss) == pytest.approx(float(expected_loss.detach()), rel=1e-4)
    assert_close(found, expected)


@pytest.mark.parametrize("min_saving", [1, 40, 10**9])
@pytest.mark.parametrize("count", [2, 3, 23, 24])
def test_the_gradient_does_not_depend_on_where_a_batch_is_split(model, texts, monkeypatch, count, min_saving):
    examples, objective = tokenize_rows(model, texts), Objective(nli(model), 2)
    monkeypatch.setitem(gradients._MIN_SAVING, "cpu", 10**9)
    expected_loss, expected = gradient_of(model, examples, objective, range(count))
    monkeypatch.setitem(gradients._MIN_SAVING, "cpu", min_saving)

    loss, found = gradient_of(model, examples, objective, range(count))

    assert float(loss) == pytest.approx(float(expected_loss.detach()), rel=1e-4)
    assert_close(found, expected)


@pytest.mark.parametrize("model_type", ["roberta", "t5", "deberta-v2", "modernbert", "qwen3"])
@pytest.mark.parametrize("limit", [2, None])
def test_the_gradient_is_the_same_for_other_encoders(tiny_model, texts, model_type, limit):
    model = tiny_model(model_type, depth=2)
    examples = tokenize_rows(model, texts)
    ours = nli(model)
    batch = [[row[column] for row in texts[:6]] for column in range(3)]
    theirs.MultipleNegativesRankingLoss(model)([model.preprocess(column) for column in batch], None).backward()
    expected = collected(model.parameters())

    _, found = gradient_of(model, examples, Objective(ours, 2), range(6), limit=limit)

    assert_close(found, expected, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", ["cosine", "cosent", "angle", "mnrl", "mnrl both without hard negatives", "softmax"])
@pytest.mark.parametrize("limit", [1, None])
def test_a_batch_of_one_row_has_a_finite_gradient(model, texts, name, limit):
    columns, make, _ = LOSSES[name]
    examples = tokenize_rows(model, [row[:columns] for row in texts], labels_for(name, len(texts)))

    loss, found = gradient_of(model, examples, Objective(make(model), 2), [5], limit=limit)

    assert torch.isfinite(loss)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in found if gradient is not None)


EXITS = {
    "adaptive": {"adaptive": True, "seed": 3},
    "distillation": {"distillation": 0.7},
    "every layer": {"distillation": 1.0, "layer_weight": 0.5},
    "projection": {"distillation": 1.0, "projection": torch.nn.Linear(16, 9, bias=False)},
}


@pytest.mark.parametrize("limit", [1, 4, None])
@pytest.mark.parametrize("name", EXITS)
def test_the_gradient_of_every_exit_is_that_of_one_pass(tiny_model, texts, name, limit):
    model = tiny_model("bert", depth=3)
    objective = Objective(nli(model), 3, **EXITS[name])
    examples = tokenize_rows(model, texts)
    exits, dim = (3 if "layer_weight" in EXITS[name] else 1), (9 if "projection" in EXITS[name] else 16)
    targets = np.random.default_rng(0).normal(size=(exits, len(examples.texts), dim)).astype(np.float16)
    examples = type(examples)(**vars(examples) | ({} if name == "adaptive" else {"targets": targets}))
    rows = np.arange(9)
    features = examples.features(examples.sentences(rows), CPU.device)
    embedded = embed_batch(model, features, CPU, objective.exits(4))
    expected_loss = objective(embedded.view(len(embedded), 3, 9, -1), examples.batch(rows, CPU.device))
    expected_loss.backward()
    expected = collected([*model.parameters(), *objective.parameters()])

    loss, found = gradient_of(model, examples, objective, rows, limit=limit, batch_number=4)

    assert float(loss) == pytest.approx(float(expected_loss.detach()), rel=1e-4)
    assert_close(found, expected)


@pytest.fixture
def in_fours(tiny_model):
    """A model with dropout, and sentences of four lengths, eight of each: they split into passes of eight."""
    model = tiny_model("bert", depth=2).train()
    lengths = [
        " ".join(["a", *(["man", "dog", "cat", "child"][place % 4] for place in range(count))])
        for count in (2, 5, 9, 14)
    ]
    starts = ("the", "not", "river", "street", "song", "bread", "piano", "guitar")
    sentences = [f"{start} {tail}" for start in starts for tail in lengths]
    return model, tokenize_rows(model, [tuple(sentences[row : row + 2]) for row in range(0, len(sentences), 2)])


@pytest.mark.parametrize("hardware", [CPU, CPU_BFLOAT16], ids=["float32", "bfloat16"])
def test_a_repeated_pass_repeats_its_dropout(in_fours, hardware):
    model, examples = in_fours
    objective, rows = Objective(nli(model), 2), np.arange(16)
    torch.manual_seed(5)
    kept_loss, kept = gradient_of(model, examples, objective, rows, hardware=hardware)
    drawn = torch.get_rng_state()
    other_loss, _ = gradient_of(model, examples, objective, rows, hardware=hardware)

    torch.manual_seed(5)
    loss, repeated = gradient_of(model, examples, objective, rows, hardware=hardware, limit=8)

    assert float(loss) == float(kept_loss) != float(other_loss)
    assert_equal(repeated, kept)
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize("limit", [3, None])
def test_the_same_state_of_randomness_gives_the_same_gradient(in_fours, limit):
    model, examples = in_fours
    objective, rows = Objective(nli(model), 2), np.arange(16)
    torch.manual_seed(5)
    _, one = gradient_of(model, examples, objective, rows, limit=limit)

    torch.manual_seed(5)
    _, other = gradient_of(model, examples, objective, rows, limit=limit)

    assert_equal(one, other)


class Recorder:
    """A loss that records its embeddings."""

    def __call__(self, embeddings, _labels):
        self.embeddings = [column.detach() for column in embeddings]
        return sum(column.sum() for column in embeddings)

    def parameters(self):
        return []


@pytest.mark.parametrize("limit", [1, None])
def test_a_sentence_that_stands_twice_in_a_batch_gets_dropout_twice(in_fours, limit):
    model, recorder = in_fours[0], Recorder()
    examples = tokenize_rows(model, [("a man sings", "a man sings")])

    gradient_of(model, examples, Objective(recorder, 2), [0], limit=limit)

    assert not torch.equal(*recorder.embeddings)


@pytest.mark.parametrize("limit", [4, None])
def test_shares_of_batches_add_up(model, texts, limit):
    examples, objective = tokenize_rows(model, texts), Objective(nli(model), 2)
    parts = [[0, 1, 2], [3, 4, 5, 6], [7]]
    alone = [gradient_of(model, examples, objective, rows, limit=limit) for rows in parts]
    gradient = Gradient(model, examples, objective, CPU, limit=limit)

    losses = [gradient.add(np.array(rows), number, share=1 / 3) for number, rows in enumerate(parts)]

    assert [float(loss) for loss in losses] == [float(loss) for loss, _ in alone]
    sums = [
        None if one is None else (one + two + three) / 3
        for one, two, three in zip(*(found for _, found in alone), strict=True)
    ]
    assert_close(collected(model.parameters()), sums)


@pytest.mark.parametrize("limit", [2, None])
def test_the_rows_of_a_batch_may_come_in_any_order(model, texts, limit):
    examples, objective = tokenize_rows(model, texts), Objective(nli(model), 2)
    _, expected = gradient_of(model, examples, objective, [0, 1, 2, 3, 4], limit=limit)

    _, found = gradient_of(model, examples, objective, [3, 0, 4, 2, 1], limit=limit)

    assert_close(found, expected)


@pytest.mark.parametrize(
    ("limit", "widths"), [(None, [12, 8, 5]), (2, [12, 12, 8, 8, 5, 5]), (3, [12, 8, 5]), (100, [12, 8, 5])]
)
def test_passes_are_no_larger_than_the_limit_and_no_wider_than_they_must_be(model, monkeypatch, limit, widths):
    words = ("man", "dog", "cat")
    rows = [(f"a {word} " + "and the " * 4, f"a {word} " + "and the " * 2, f"a {word} sings") for word in words]
    passes = []

    def embed(*args):
        passes.append(tuple(args[1]["input_ids"].shape))
        return embed_batch(*args)

    monkeypatch.setattr(gradients, "embed_batch", embed)

    gradient_of(model, tokenize_rows(model, rows), Objective(nli(model), 2), range(3), limit=limit)

    first = passes[: len(widths)]
    assert [width for _, width in first] == widths
    assert all(count <= (limit or 9) for count, _ in first)
    assert passes == first * (1 if limit is None else 2)


sorted_lengths = st.lists(st.integers(0, 40), max_size=60).map(
    lambda lengths: np.array(sorted(lengths, reverse=True), dtype=np.int64)
)


def padded(parts):
    return sum(len(part) * int(part[0]) for part in parts)


@given(lengths=sorted_lengths, min_saving=st.integers(1, 200))
def test_no_place_is_lost_or_doubled_and_the_order_stays(lengths, min_saving):
    order = np.random.default_rng(0).permutation(len(lengths))

    groups = _split_by_length(order, lengths, min_saving)

    assert [place for group in groups for place in group] == order.tolist()
    assert all(len(group) for group in groups)


@given(lengths=sorted_lengths, min_saving=st.integers(1, 200))
def test_every_pass_saves_what_it_is_worth_and_no_split_that_would_is_left_out(lengths, min_saving):
    groups = _split_by_length(np.arange(len(lengths)), lengths, min_saving)

    parts = [lengths[group] for group in groups]
    if parts:
        assert padded([lengths]) - padded(parts) >= min_saving * (len(parts) - 1)
    for part in parts:
        assert all(padded([part]) - padded([part[:at], part[at:]]) < min_saving for at in range(1, len(part)))


@given(lengths=sorted_lengths, min_saving=st.integers(1, 200))
def test_sentences_of_one_length_are_never_parted(lengths, min_saving):
    groups = _split_by_length(np.arange(len(lengths)), lengths, min_saving)

    ends = [(int(lengths[left[-1]]), int(lengths[right[0]])) for left, right in pairwise(groups)]
    assert all(left > right for left, right in ends)


def test_a_huge_batch_of_very_different_lengths_is_split():
    lengths = np.repeat(np.arange(4096, 0, -1), 16)

    groups = _split_by_length(np.arange(len(lengths)), lengths, 1)

    assert len(groups) == 4096
