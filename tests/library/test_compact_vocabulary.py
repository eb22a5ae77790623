"""Training with the rows that the sentences use gives the same weights as training with all rows."""

import numpy as np
import pytest
import torch

from sbert_prune.losses import build_loss
from sbert_prune.models.sentence import encoder_of
from sbert_prune.recipe.settings import NliSettings
from sbert_prune.training.batches import tokenize_rows
from sbert_prune.training.compact_vocabulary import compact_vocabulary
from sbert_prune.training.device import Hardware
from sbert_prune.training.embedding import embed_batch
from sbert_prune.training.gradients import Gradient
from sbert_prune.training.objective import Objective
from tests.kinds import KINDS

CPU = Hardware(torch.device("cpu"), bfloat16=False)
TEXTS = [
    ("a man sings", "the man sings a song"),
    ("a dog sleeps", "the dog is not in the street"),
    ("a cat", "the cat and the dog"),
]
MNRL = NliSettings(epochs=1, batch_size=3, learning_rate=1e-3)
every_kind = pytest.mark.parametrize("model_type", KINDS)
some_architectures = pytest.mark.parametrize(
    "model_type", ["bert", "roberta", "mpnet", "distilbert", "t5", "gemma3_text"]
)


@pytest.fixture
def twice(tiny_model):
    """Two equal models, and examples that use few rows of the word embeddings."""

    def build(model_type="bert", **sizes):
        one, other = (tiny_model(model_type, name=name, depth=2, **sizes) for name in ("one", "other"))
        return one, other, tokenize_rows(one, TEXTS)

    return build


def learn(model, examples, *, steps=4):
    """Take some optimizer steps with dropout, the same ones in every call."""
    torch.manual_seed(7)
    model.train()
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad], lr=1e-2, weight_decay=0.0, fused=True
    )
    gradient = Gradient(model, examples, Objective(build_loss("nli", model, MNRL, CPU.device), 2), CPU)
    for number in range(steps):
        gradient.add(np.arange(len(examples)), number)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def rows_of(model):
    return encoder_of(model).get_input_embeddings().weight


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(
            other[name], tensor, rtol=0, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def unused_rows(model, examples):
    used = set(examples.tokens.flat.tolist())
    return [row for row in range(len(rows_of(model))) if row not in used]


@every_kind
def test_the_weights_are_those_of_training_with_all_rows(twice, model_type):
    one, other, examples = twice(model_type)
    before = weights(one)
    learn(one, examples)

    with compact_vocabulary(other, (examples,)) as (compacted,):
        num_rows = len(rows_of(other))
        learn(other, compacted)

    assert num_rows < 40 < len(rows_of(other))
    assert_same_weights(weights(one), weights(other))
    assert not torch.equal(before["0.model." + word_table(one)], weights(one)["0.model." + word_table(one)])


def word_table(model):
    """Return the name of the word embeddings' weights in the encoder."""
    return next(name for name, weight in encoder_of(model).named_parameters() if weight is rows_of(model))


@every_kind
def test_embeddings_are_the_same_inside(twice, model_type):
    model, _, examples = twice(model_type)
    numbers = np.arange(len(examples.tokens))  # of different length, so that there is padding

    with torch.no_grad():
        expected = embed_batch(model, examples.features(numbers, CPU.device), CPU)
        with compact_vocabulary(model, (examples,)) as (compacted,):
            found = embed_batch(model, compacted.features(numbers, CPU.device), CPU)
        after = embed_batch(model, examples.features(numbers, CPU.device), CPU)

    assert torch.equal(found, expected)
    assert torch.equal(after, expected)


@some_architectures
def test_unused_rows_stay_bit_for_bit_and_used_ones_learn(twice, model_type):
    model, _, examples = twice(model_type)
    before = rows_of(model).detach().clone()
    unused, pad_id = unused_rows(model, examples), examples.pad_id

    with compact_vocabulary(model, (examples,)) as (compacted,):
        learn(model, compacted)

    after = rows_of(model).detach()
    assert torch.equal(after[unused], before[unused])
    changed = (after != before).any(dim=1).nonzero().flatten().tolist()
    assert sorted({*changed, *unused}) == list(range(len(after)))
    assert pad_id in unused


@pytest.mark.parametrize("fails", [True, False])
@some_architectures
def test_afterwards_the_encoder_is_whole_whatever_happened(twice, model_type, fails):
    model, _, examples = twice(model_type)
    encoder = encoder_of(model)
    table = encoder.get_input_embeddings()
    weight, padding, names = table.weight, table.padding_idx, list(encoder.state_dict())
    holders = [name for name, own in encoder.named_parameters(remove_duplicate=False) if own is weight]
    before = weight.detach().clone()

    def train():
        with compact_vocabulary(model, (examples,)) as (compacted,):
            assert len(rows_of(model)) < len(weight)
            learn(model, compacted, steps=1)
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            train()
    else:
        train()

    assert table.weight is weight
    assert table.padding_idx == padding
    assert list(encoder.state_dict()) == names
    assert [name for name, own in encoder.named_parameters(remove_duplicate=False) if own is weight] == holders
    assert not torch.equal(weight, before)  # it was trained
    assert weight.requires_grad


@pytest.mark.parametrize("model_type", ["t5", "mt5"])
def test_both_tables_of_a_t5_are_one_inside(twice, model_type):
    model, _, examples = twice(model_type)
    encoder = encoder_of(model)
    assert encoder.encoder.embed_tokens.weight is encoder.shared.weight

    with compact_vocabulary(model, (examples,)):
        inside = encoder.encoder.embed_tokens.weight is encoder.shared.weight

    assert inside
    assert encoder.encoder.embed_tokens.weight is encoder.shared.weight


@pytest.mark.parametrize("model_type", ["bert", "roberta", "mpnet", "t5"])
@pytest.mark.parametrize("pad_id", [40, 87])
def test_a_padding_piece_far_up_changes_nothing(twice, model_type, pad_id):
    one, other, _ = twice(model_type)
    for model in (one, other):
        model.tokenizer.pad_token = model.tokenizer.convert_ids_to_tokens(pad_id)
    examples = tokenize_rows(one, TEXTS)
    assert examples.pad_id == pad_id
    learn(one, examples)

    with compact_vocabulary(other, (examples,)) as (compacted,):
        learn(other, compacted)

    assert_same_weights(weights(one), weights(other))


@pytest.mark.parametrize("model_type", ["roberta", "mpnet"])
def test_positions_are_counted_from_the_encoders_padding_piece_where_the_tokenizer_has_another(twice, model_type):
    one, other, _ = twice(model_type)
    for model in (one, other):
        model.tokenizer.pad_token = model.tokenizer.convert_ids_to_tokens(0)
    examples = tokenize_rows(one, TEXTS)
    assert examples.pad_id < encoder_of(one).config.pad_token_id
    learn(one, examples)

    with compact_vocabulary(other, (examples,)) as (compacted,):
        learn(other, compacted)

    assert_same_weights(weights(one), weights(other))


def test_the_padding_row_gets_no_gradient(twice):
    model, _, examples = twice("bert")
    table = encoder_of(model).get_input_embeddings()
    table.padding_idx = examples.pad_id
    before = table.weight.detach()[examples.pad_id].clone()

    with compact_vocabulary(model, (examples,)) as (compacted,):
        inside = table.padding_idx
        learn(model, compacted)

    assert inside == compacted.pad_id
    assert table.padding_idx == examples.pad_id
    assert torch.equal(table.weight.detach()[examples.pad_id], before)


def test_a_padding_row_that_no_sentence_names_changes_nothing(twice):
    one, other, examples = twice("bert")
    for model in (one, other):
        encoder_of(model).get_input_embeddings().padding_idx = 100
    learn(one, examples)

    with compact_vocabulary(other, (examples,)) as (compacted,):
        learn(other, compacted)

    assert encoder_of(other).get_input_embeddings().padding_idx == 100
    assert_same_weights(weights(one), weights(other))


def test_pieces_of_all_examples_are_numbered_alike(twice):
    model, _, examples = twice()
    dev = tokenize_rows(model, [("a woman plays the guitar", "bread"), ("a man sings", "a river")])
    whole = rows_of(model).detach().clone()

    with compact_vocabulary(model, (examples, dev)) as (one, other):
        left = rows_of(model).detach()

        assert len(left) == len(
            {*range(examples.pad_id + 1), *examples.tokens.flat.tolist(), *dev.tokens.flat.tolist()}
        )
        for given, renumbered in ((examples, one), (dev, other)):
            assert torch.equal(left[renumbered.tokens.flat], whole[given.tokens.flat])
            assert renumbered.tokens.lengths.tolist() == given.tokens.lengths.tolist()
            assert renumbered.index is given.index
            assert renumbered.texts == given.texts
            assert renumbered.pad_id == given.pad_id


@pytest.mark.parametrize(("share", "leaves_out"), [(1.0, True), (0.0, False)])
def test_where_little_would_be_left_out_nothing_is(twice, share, leaves_out):
    model, _, examples = twice()
    weight = rows_of(model)

    with compact_vocabulary(model, (examples,), most_used=share) as (compacted,):
        inside = rows_of(model)

    assert (inside is not weight) == leaves_out
    assert (compacted is not examples) == leaves_out


def test_a_frozen_table_stays_frozen_and_as_it_was(twice):
    model, _, examples = twice()
    rows_of(model).requires_grad_(requires_grad=False)
    before = rows_of(model).clone()

    with compact_vocabulary(model, (examples,)) as (compacted,):
        inside = rows_of(model).requires_grad
        learn(model, compacted)

    assert not inside
    assert not rows_of(model).requires_grad
    assert torch.equal(rows_of(model), before)


def test_the_examples_that_were_given_stay_as_they_were(twice):
    model, _, examples = twice()
    flat = examples.tokens.flat.copy()

    with compact_vocabulary(model, (examples,)):
        pass

    assert np.array_equal(examples.tokens.flat, flat)


def test_rows_that_went_to_another_device_type_and_back_are_put_back(twice):
    model, _, examples = twice()
    before = rows_of(model).detach().clone()

    with compact_vocabulary(model, (examples,)):
        model.to("cpu", torch.float64)
        rows_of(model).data.add_(1.0)
        model.to(torch.float32)

    after = rows_of(model).detach()
    used = [row for row in range(len(after)) if row not in unused_rows(model, examples)]
    assert after.dtype == torch.float32
    torch.testing.assert_close(after[used], before[used] + 1.0)
