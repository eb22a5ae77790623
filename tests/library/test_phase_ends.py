"""The best weights are kept, patience ends a phase early, gradients accumulate, and too large batches are split."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling

from sbert_prune.errors import TrainingError
from sbert_prune.evaluation.sts import evaluate_sts
from sbert_prune.losses import build_loss
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training import gradients
from sbert_prune.training.batches import tokenize_rows
from sbert_prune.training.distributed import WorkerGroup
from sbert_prune.training.embedding import DevPairs
from sbert_prune.training.objective import Objective
from sbert_prune.training.optimizer import Stepper
from sbert_prune.training.setup import PhaseSetup, TrainerSetup
from tests.library.test_training import CPU, PHASES, sts_rows, sts_settings, train, weights

ROOT = Path(__file__).parents[2]
LABELLED = [phase for phase in PHASES if phase != "distil"]


@pytest.fixture
def model(tiny_model):
    def build(name, *, dropout=True):
        made = tiny_model(name=name, depth=2, width=32, spread=0.05)
        if not dropout:
            for module in made.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        return made

    return build


def dev_scores(reports):
    return [report.dev_score for report in reports if report.dev_score is not None]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_weights_with_the_best_dev_score_or_the_last_are_kept(model, keep):
    one = model("one")

    reports = train("sts", one, learning_rate=0.5, evaluate_every=0.5, keep=keep)

    kept, scores = DevPairs.of(one, sts_rows()[::3]).score(one, CPU), dev_scores(reports)
    assert kept == pytest.approx(max(scores) if keep == "best" else scores[-1])
    assert max(scores) > scores[-1]


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("prompt", ["", "the river is in the street and "])
def test_the_dev_score_is_that_of_the_evaluation(model, prompt, include_prompt):
    modules = [model("base")[0], Pooling(32, "mean", include_prompt=include_prompt), Normalize()]
    one = SentenceTransformer(modules=modules, prompts={"query": prompt}, default_prompt_name="query", device="cpu")

    found = DevPairs.of(one, sts_rows()).score(one, CPU)

    one.eval()
    assert found == pytest.approx(evaluate_sts(one, sts_rows(), "dev").value, abs=1e-6)
    one.default_prompt_name = None
    assert (found == pytest.approx(evaluate_sts(one, sts_rows(), "dev").value, abs=1e-6)) == (not prompt)


@pytest.mark.parametrize(
    ("epochs", "every", "evaluations"), [(1, 1, 1), (3, 1, 3), (2, 0.5, 4), (0.5, 1, 1), (2.5, 1, 3), (1, 5, 1)]
)
def test_dev_is_scored_every_so_many_epochs_and_at_the_end(model, epochs, every, evaluations):
    reports = train("sts", model("one"), epochs=epochs, evaluate_every=every)

    assert len(dev_scores(reports)) == evaluations
    assert reports[-1].dev_score is not None


def test_a_phase_without_progress_ends_when_patience_does(model):
    reports = train("sts", model("one"), learning_rate=0.5, epochs=100, patience=2)

    scores = dev_scores(reports)
    assert len(scores) == scores.index(max(scores)) + 1 + 2
    assert reports[-1].optimizer_step < reports[-1].num_optimizer_steps


@pytest.mark.parametrize("phase", ["sts", "nli softmax"])
def test_gradients_of_several_batches_add_up_to_that_of_a_large_one(model, phase):
    large, small = model("large", dropout=False), model("small", dropout=False)
    # Both losses are means over rows: two batches of half the size are the large one, whoever shares which.
    changes = {"epochs": 1, "max_rows": 24, "learning_rate": 1e-3}

    train(phase, large, batch_size=24, **changes)
    train(phase, small, batch_size=12, accumulate=2, **changes)

    assert all(torch.allclose(tensor, weights(small)[name], atol=1e-5) for name, tensor in weights(large).items())


@pytest.mark.parametrize("phase", LABELLED)
def test_mini_batches_change_no_weight(model, phase):
    whole, parts = model("whole", dropout=False), model("parts", dropout=False)

    train(phase, whole, epochs=1)
    train(phase, parts, epochs=1, mini_batch_size=3)

    assert all(torch.allclose(tensor, weights(parts)[name], atol=1e-4) for name, tensor in weights(whole).items())


@pytest.mark.parametrize("phase", LABELLED)
def test_a_batch_that_does_not_fit_is_cut_until_it_does_and_the_result_is_the_same(model, phase, monkeypatch):
    plenty, tight = model("plenty", dropout=False), model("tight", dropout=False)
    train(phase, plenty, epochs=1)
    monkeypatch.setattr(gradients, "embed_batch", scarce(gradients.embed_batch, sentences=7))
    notices = []

    setup = TrainerSetup(CPU, 1, lambda _: None, notice=notices.append)
    PHASES[phase](tight, setup, epochs=1)

    assert notices[0].startswith("out of memory with ")
    assert "continuing with 8" in notices[-2] or "continuing with" in notices[-1]
    assert all(torch.allclose(tensor, weights(tight)[name], atol=1e-4) for name, tensor in weights(plenty).items())


def test_what_went_before_the_batch_that_does_not_fit_is_forgotten(model, monkeypatch):
    """That is its gradient, its loss, and its dropout."""
    small, tight, embed_batch, large = model("small"), model("tight"), gradients.embed_batch, []
    expected = train("sts", small, epochs=1, accumulate=2, mini_batch_size=16)

    def embed(model, features, *rest):
        if len(features["input_ids"]) > 16:
            large.append(1)
            if len(large) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return embed_batch(model, features, *rest)

    monkeypatch.setattr(gradients, "embed_batch", embed)

    found = train("sts", tight, epochs=1, accumulate=2)

    assert len(large) == 2
    assert [report.loss for report in found] == [report.loss for report in expected]
    assert all(torch.equal(tensor, weights(tight)[name]) for name, tensor in weights(small).items())


@pytest.mark.parametrize("mini_batch_size", [None, 33, 100_000])
def test_halving_starts_from_the_batch_where_the_limit_lies_above_it(model, monkeypatch, mini_batch_size):
    monkeypatch.setattr(gradients, "embed_batch", scarce(gradients.embed_batch, sentences=16))
    notices = []

    PHASES["sts"](
        model("one"),
        TrainerSetup(CPU, 1, lambda _: None, notice=notices.append),
        epochs=1,
        mini_batch_size=mini_batch_size,
    )

    expected = (
        "out of memory with 32 sentences in one forward pass: continuing with 16 at a time, the gradient is the same"
    )
    assert [notice for notice in notices if "memory" in notice] == [expected]


def test_halving_starts_from_the_one_of_several_batches_that_did_not_fit(model, monkeypatch):
    refused, embed_batch, notices = [], gradients.embed_batch, []

    def embed(model, features, *rest):
        if len(features["input_ids"]) == 10 and not refused:  # the last five rows of the epoch
            refused.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return embed_batch(model, features, *rest)

    monkeypatch.setattr(gradients, "embed_batch", embed)
    setup = TrainerSetup(CPU, 1, lambda _: None, notice=notices.append)

    PHASES["sts"](model("one"), setup, epochs=1, max_rows=21, accumulate=2)

    assert notices[0].startswith("out of memory with 10 sentences in one forward pass: continuing with 5 at a time")


def test_a_process_of_several_names_its_own_share_where_memory_runs_out(model, monkeypatch):
    monkeypatch.setattr(gradients, "embed_batch", scarce(gradients.embed_batch, sentences=0))
    one, settings = model("one"), sts_settings()
    examples = tokenize_rows(one, [(row.sentence1, row.sentence2) for row in sts_rows()], torch.rand(len(sts_rows())))
    phase = PhaseSetup(examples, [np.arange(16)], Objective(build_loss("sts", one, settings, CPU.device), 2))

    with pytest.raises(TrainingError) as caught:
        Stepper(one, phase, settings, hardware=CPU, group=WorkerGroup(0, 2), seed=1, notice=print).step(0)

    assert (
        str(caught.value)
        == "Out of memory at optimizer step 1 of 1, with 16 sentences in one forward pass. Set mini_batch_size."
    )


def scarce(embed, *, sentences):
    """Return an `embed_batch` that runs out of memory above this number of sentences."""

    def embed_some(model, features, *rest):
        if len(features["input_ids"]) > sentences:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return embed(model, features, *rest)

    return embed_some


def test_a_sentence_that_does_not_fit_alone_ends_the_phase(model, monkeypatch):
    monkeypatch.setattr(gradients, "embed_batch", scarce(gradients.embed_batch, sentences=0))

    with pytest.raises(TrainingError) as caught:
        train("sts", model("one"))

    assert str(caught.value) == (
        "Out of memory at optimizer step 1 of 48, with 1 sentences in one forward pass. "
        "Lower max_seq_length, or take a machine with more memory."
    )


def test_an_error_that_is_not_about_memory_is_not_swallowed(model, monkeypatch):
    def broken(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(gradients, "embed_batch", broken)

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        train("sts", model("one"))


_SMALL_MACHINE = """
import resource, sys
import torch
from sbert_prune.data.rows import StsRow
from sbert_prune.layers import LayerSelection
from sbert_prune.models.sentence import encoder_of, load_saved, with_encoder, with_pooling
from sbert_prune.models.sources import locate_base
from sbert_prune.pruning import prune_layers
from sbert_prune.recipe.settings import StsSettings
from sbert_prune.training.device import Hardware
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup

model = with_pooling(load_saved(locate_base("quickstart").checkpoint), None, max_seq_length=128)
with_encoder(model, prune_layers(encoder_of(model), LayerSelection((0, 1), 12)))
rows = [StsRow("word " * 120 + str(n), "other " * 120 + str(n), n / 400) for n in range(400)]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000, resource.RLIM_INFINITY))
settings = StsSettings(data="generated", epochs=1, batch_size=400, learning_rate=1e-4, keep="last")
reports = []
setup = TrainerSetup(Hardware(torch.device("cpu"), bfloat16=False), 1, reports.append)
PhaseTrainer(model, setup).train("sts", rows, settings)
print("loss", reports[-1].loss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space hold on Linux")
@pytest.mark.slow
def test_on_a_machine_with_little_memory_training_continues_in_smaller_passes():
    # Otherwise threads that contend in malloc reserve 64 MB of addresses each, which the limit would count as memory.
    alone = os.environ | {"MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _SMALL_MACHINE], cwd=ROOT, env=alone, capture_output=True, text=True, check=False
    )

    assert "out of memory with 800 sentences in one forward pass: continuing with 400 at a time" in done.stdout
    assert "loss 0." in done.stdout, done.stderr[-2000:]


def test_peak_memory_and_gradient_norm_are_reported(model):
    reports = train("sts", model("one"), epochs=1)

    assert all(report.peak_memory_mb > 50 for report in reports)
    assert all(report.gradient_norm > 0 for report in reports)


def test_the_encoder_keeps_all_its_rows(model):
    one = model("one")
    before = encoder_of(one).get_input_embeddings().weight.shape

    train("sts", one, epochs=1)

    assert encoder_of(one).get_input_embeddings().weight.shape == before
