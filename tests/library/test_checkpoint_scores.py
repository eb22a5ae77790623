"""A dev score in the middle of a phase is reported, and changes nothing else."""

import pytest
import torch

from sbert_prune.data.rows import StsRow
from sbert_prune.recipe.settings import StsSettings
from sbert_prune.training.device import Hardware
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup

CPU = Hardware(torch.device("cpu"), bfloat16=False)


def trained(model, rows, *, dev, score_after, keep="best"):
    reports = []
    trainer = PhaseTrainer(model, TrainerSetup(CPU, 1, reports.append, score_after=score_after), dev=dev)
    trainer.train("sts", rows, StsSettings(epochs=2, batch_size=4, learning_rate=1e-2, keep=keep))
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}, reports


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_phase_that_is_scored_early_ends_with_the_same_weights(tiny_model, sentences, keep):
    pairs = list(enumerate(zip(sentences[:15], sentences[15:], strict=True)))
    rows = [StsRow(left, right, number / 14) for number, (left, right) in pairs]
    dev = [
        StsRow(left, right, 1 - number / 14) for number, (left, right) in pairs
    ]  # the more is learned, the worse it gets

    plain, before = trained(tiny_model(depth=2), rows, dev=dev, score_after=(), keep=keep)
    scored_early, after = trained(
        tiny_model(depth=2, name="again"), rows, dev=dev, score_after=(0.125, 1 / 3, 0.75), keep=keep
    )

    assert all(torch.equal(plain[name], scored_early[name]) for name in plain)
    scored = {progress.optimizer_step: progress.dev_score for progress in after if progress.dev_score is not None}
    assert set(scored) == {1, 3, 4, 6, 8}
    assert max(scored, key=scored.get) == 1  # an early score is the best: it would be chosen if it could
    assert {one.optimizer_step for one in before if one.dev_score is not None} == {4, 8}
    assert all(scored[one.optimizer_step] == one.dev_score for one in before if one.dev_score is not None)


def test_without_dev_pairs_there_is_no_dev_score(tiny_model, sentences):
    rows = [StsRow(sentences[0], sentences[1], 0.5), StsRow(sentences[2], sentences[3], 0.9)]
    reports = []
    PhaseTrainer(tiny_model(depth=2), TrainerSetup(CPU, 1, reports.append, score_after=(0.5,))).train(
        "sts", rows, StsSettings(epochs=4, batch_size=1, learning_rate=1e-3)
    )

    assert all(progress.dev_score is None for progress in reports)
