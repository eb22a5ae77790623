"""The benefit of a search against random draws for the same seconds, and how alike fidelities rank."""

from dataclasses import replace
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
import torch

from pipelines.inputs.load import load_inputs
from pipelines.steps.context import open_context
from sbert_prune.errors import TrainingError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from tuning.benefit import Benefit, RandomDraws, agreement
from tuning.prepare import zero_layer_score

SCORES = (0.3, 0.9, 0.5, 0.7, 0.1)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_the_best_of_some_is_the_mean_over_all_ways_to_choose_them(number):
    expected = fmean(max(chosen) for chosen in combinations(SCORES, number))

    assert RandomDraws(SCORES, 10.0).best_of(number) == pytest.approx(expected)


def test_beyond_the_draws_the_best_grows_as_that_of_a_normal_distribution():
    drawn = np.random.default_rng(0).normal(0.5, 0.1, size=200)
    truth = fmean(np.random.default_rng(1).normal(0.5, 0.1, size=(4000, 50)).max(axis=1))

    assert RandomDraws(tuple(drawn[:20]), 1.0).best_of(50) == pytest.approx(truth, abs=0.05)
    assert RandomDraws((0.4, 0.5), 1.0).best_of(100) >= 0.5


def test_what_is_expected_beyond_the_draws_has_a_standard_error():
    samples = np.random.default_rng(2).normal(0.5, 0.1, size=(3000, 6))
    truth = float(np.std([RandomDraws(tuple(sample), 1.0).best_of(30) for sample in samples]))
    reported = fmean(RandomDraws(tuple(sample), 1.0).error_of(30) for sample in samples)

    assert reported == pytest.approx(truth, rel=0.1)
    assert RandomDraws(SCORES, 1.0).error_of(5) == 0
    assert RandomDraws((0.5,), 1.0).error_of(2) == float("inf")


def test_the_answer_is_neither_yes_nor_no_where_it_depends_on_the_error_of_the_draws():
    drawn = RandomDraws((0.68, 0.7, 0.72), 10.0)

    assert Benefit(0.73, 130.0, drawn, {"drop-top": 0.7}, None, None).line().startswith("too close to tell: -0.00")
    assert Benefit(0.8, 130.0, drawn, {"drop-top": 0.7}, None, None).line().startswith("yes: +0.0")
    assert Benefit(0.7, 130.0, drawn, {}, None, None).line().startswith("no: -0.0")
    assert Benefit(0.73, 130.0, drawn, {"drop-top": 0.74}, None, None).line().startswith("no: -0.01")
    assert " ± 0.0" in Benefit(0.73, 130.0, drawn, {}, None, None).rows()[1][1]


def test_as_many_are_drawn_as_the_seconds_allow():
    assert RandomDraws(SCORES, 10.0).number_within(95.0) == 9
    assert RandomDraws(SCORES, 10.0).number_within(3.0) == 1


def test_the_answer_says_by_how_much_and_against_what():
    benefit = Benefit(0.8, 30.0, RandomDraws((0.6, 0.7, 0.65), 10.0), {"drop-top": 0.75, "drop-bottom": 0.5}, 0.9, 0.3)

    assert benefit.rival == 0.75
    assert benefit.line() == "yes: +0.0500 of dev over the best strategy or random draws for the same 30 s of training"
    assert [row[0] for row in benefit.rows()] == [
        "the search's best",
        "best of 3 random selections",
        "drop-top",
        "drop-bottom",
        "the reference, all layers",
        "word embeddings alone, the same recipe",
    ]
    assert benefit.rows()[1] == ("best of 3 random selections", "0.7000", "+0.1000")


def test_a_search_that_found_nothing_better_says_no():
    named = {"drop-top": 0.75, "drop-middle": 0.6, "drop-bottom": 0.5}

    assert Benefit(0.7, 30.0, None, named, None, None).line().startswith("no: -0.0500")


@pytest.mark.parametrize(
    ("drawn", "named", "trained"),
    [
        (None, {}, "0 controls"),
        (None, {"drop-top": 0.75}, "1 control"),
        (RandomDraws((0.6,), 10.0), {"drop-top": 0.75}, "2 controls"),
    ],
)
def test_with_fewer_than_three_controls_the_benefit_is_not_measured(drawn, named, trained):
    benefit = Benefit(0.7, 30.0, drawn, named, None, None)

    assert benefit.line() == f"not measured: {trained} trained, at least 3 are needed"
    assert benefit.rival is None
    assert len(benefit.rows()) == 1 + (drawn is not None) + len(named)


def test_agreement_is_one_for_the_same_order_and_nothing_for_too_few():
    assert agreement([(1, 10), (2, 20), (3, 30)]) == pytest.approx(1)
    assert agreement([(1, 3), (2, 2), (3, 1)]) == pytest.approx(-1)
    assert agreement([(1, 1), (2, 2)]) is None
    assert agreement([(1, 1), (1, 2), (1, 3)]) is None


def zero_layers(project, base=None):
    """Return the zero-layer baseline of the project, or of another base."""
    recipe = project.recipe(layers="2")
    inputs = load_inputs(recipe)
    if base is not None:
        source = SavedModel(str(base), None, inspect_checkpoint(base))
        inputs = replace(inputs, pruning=replace(inputs.pruning, base=source))
    with open_context(recipe) as context:
        return zero_layer_score(context, recipe, inputs)


def fail(error):
    def train(*_args, **_settings):
        raise error

    return train


def test_the_zero_layer_baseline_has_a_score(project):
    assert -1 <= zero_layers(project) <= 1


def test_an_architecture_that_cannot_do_without_layers_has_no_zero_layer_baseline(project, tiny_base):
    assert zero_layers(project, tiny_base("deberta-v2")) is None


def test_a_zero_layer_baseline_that_diverges_is_left_out(project, monkeypatch):
    monkeypatch.setattr("tuning.prepare.PhaseTrainer.train", fail(TrainingError("The loss became nan.")))

    assert zero_layers(project) is None


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError("no more"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        TrainingError("Out of memory at optimizer step 1 of 9, with 1 sentences in one forward pass."),
    ],
)
def test_a_zero_layer_baseline_that_runs_out_of_memory_is_an_error(project, monkeypatch, error):
    monkeypatch.setattr("tuning.prepare.PhaseTrainer.train", fail(error))

    with pytest.raises(type(error)):
        zero_layers(project)
