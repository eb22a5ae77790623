"""A selection drawn for a batch is trained like the cut model, in the weights that all selections share."""

from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
import torch

from sbert_prune.data.rows import Label, NliRow, StsRow
from sbert_prune.layers import LayerSelection
from sbert_prune.losses import build_loss
from sbert_prune.models.architectures import architecture_of, layers_of
from sbert_prune.models.sentence import embed, encoder_of, with_encoder
from sbert_prune.pruning import prune_layers
from sbert_prune.recipe.settings import NliSettings, StsSettings
from sbert_prune.training.batches import tokenize_rows
from sbert_prune.training.device import Hardware
from sbert_prune.training.gradients import Gradient
from sbert_prune.training.objective import Objective
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup
from sbert_prune.training.supernet import Subsets, thinned
from tests.kinds import KINDS

CPU = Hardware(torch.device("cpu"), bfloat16=False)
DEPTH = 4
STS = StsSettings(epochs=2, batch_size=4, learning_rate=1e-3)


def gradient_of(model, sentences, objective, batch_number, **options):
    examples = tokenize_rows(model, list(zip(sentences[:8], sentences[8:16], strict=True)), torch.linspace(0, 1, 8))
    loss = Gradient(model, examples, objective, CPU, **options).add(np.arange(8), batch_number)
    return float(loss), {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("model_type", KINDS)
def test_the_gradient_is_that_of_the_cut_model_and_other_layers_have_none(tiny_model, sentences, model_type, limit):
    first_stays = bool(architecture_of(model_type).first_lacks)
    subsets = Subsets(DEPTH, (2,), 1, first_stays)
    model = tiny_model(model_type, depth=DEPTH)
    drawn = subsets.at(7)
    cut = tiny_model(model_type, depth=DEPTH, name="cut")
    with_encoder(cut, prune_layers(encoder_of(cut), drawn))

    loss, found = gradient_of(
        model, sentences, Objective(build_loss("sts", model, STS, CPU.device), DEPTH, subsets=subsets), 7, limit=limit
    )
    expected_loss, expected = gradient_of(
        cut, sentences, Objective(build_loss("sts", cut, STS, CPU.device), 2), 7, limit=limit
    )

    path = f"{architecture_of(model_type).layers}."
    renamed = {f"{path}{place}.": f"{path}{index}." for place, index in enumerate(drawn.kept)}
    assert loss == pytest.approx(expected_loss, abs=1e-6)
    reached = 0
    for name, gradient in expected.items():
        if first_stays or not any(
            f".{part}" in name for part in architecture_of(model_type).first_has
        ):  # handed on: a copy of its own
            renamed_to = next((name.replace(old, new) for old, new in renamed.items() if old in name), name)
            assert (gradient is None) == (found[renamed_to] is None), name
            if gradient is not None:
                reached += 1
                assert torch.allclose(gradient, found[renamed_to], atol=1e-6), name
    assert reached > 10
    assert all(
        found[name] is None
        for name in found
        for index in drawn.dropped
        if f"{path}{index}." in name and "relative" not in name
    )


def test_selections_are_drawn_evenly_by_seed_and_batch_alone():
    subsets = Subsets(5, (2, 4), 3)
    drawn = [subsets.at(number) for number in range(3000)]
    torch.rand(3)

    assert drawn[:50] == [Subsets(5, (2, 4), 3).at(number) for number in range(50)]
    assert drawn[:50] != [Subsets(5, (2, 4), 4).at(number) for number in range(50)]
    assert Counter(one.num_layers for one in drawn).keys() == {2, 4}
    times = Counter(one.kept for one in drawn)
    assert len(times) == 10 + 5
    assert min(times[one.kept] for one in drawn if one.num_layers == 2) > 100  # of 150 expected
    assert min(times[one.kept] for one in drawn if one.num_layers == 4) > 220  # of 300 expected


def test_a_first_layer_that_has_to_stay_is_always_kept():
    drawn = [Subsets(4, (1, 2, 4), 0, first_stays=True).at(number) for number in range(100)]

    assert all(one.kept[0] == 0 for one in drawn)
    assert {one.kept for one in drawn} == {(0,), (0, 1), (0, 2), (0, 3), (0, 1, 2, 3)}


def test_the_model_is_whole_again_whatever_happens(tiny_model, sentences):
    model = tiny_model(depth=DEPTH)
    before = embed(model, sentences[:4])

    with suppress(KeyError), thinned(model, LayerSelection((1,), DEPTH)):
        assert len(layers_of(encoder_of(model))) == 1
        raise KeyError

    assert len(layers_of(encoder_of(model))) == DEPTH
    assert np.array_equal(embed(model, sentences[:4]), before)


@pytest.mark.parametrize("phase", ["nli", "sts"])
def test_a_phase_teaches_every_layer_and_leaves_the_model_whole(tiny_model, sentences, phase):
    model = tiny_model(depth=DEPTH)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    reports = []
    rows = [
        StsRow(left, right, number / 14)
        for number, (left, right) in enumerate(zip(sentences[:15], sentences[15:], strict=True))
    ]
    trainer = PhaseTrainer(model, TrainerSetup(CPU, 1, reports.append), subsets=Subsets(DEPTH, (1, 2), 1))

    if phase == "sts":
        trainer.train("sts", rows, STS)
    else:
        pairs = [NliRow(row.sentence1, row.sentence2, label) for row, label in zip(rows, [*Label] * 5, strict=True)]
        trainer.train("nli", pairs, NliSettings(loss="softmax", epochs=3, batch_size=4, learning_rate=1e-3))

    assert len(layers_of(encoder_of(model))) == DEPTH
    path = architecture_of("bert").layers
    changed = {
        name.split(f"{path}.")[1][0]
        for name, weight in model.named_parameters()
        if f"{path}." in name and not torch.equal(weight, before[name])
    }
    assert changed == {"0", "1", "2", "3"}
    assert reports[-1].optimizer_step == reports[-1].num_optimizer_steps
