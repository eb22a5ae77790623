"""Training lowers the loss, is reproducible bit for bit, and stops at values that are not finite."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sbert_prune.data.rows import Label, NliRow, StsRow, TextRow
from sbert_prune.errors import DataError, RecipeError, TrainingError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.saved_model import SavedModel
from sbert_prune.models.sentence import embed, encoder_of, load_saved
from sbert_prune.recipe.settings import DistilSettings, NliSettings, StsSettings
from sbert_prune.training import phases
from sbert_prune.training.device import Hardware, choose_hardware
from sbert_prune.training.optimizer import rate_factor
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup
from sbert_prune.training.teacher import Teacher

CPU = Hardware(torch.device("cpu"), bfloat16=False)
CPU_BFLOAT16 = Hardware(torch.device("cpu"), bfloat16=True)
SUBJECTS = ("a man", "the woman", "a child", "the dog", "the cat")
ACTIONS = ("sings", "sleeps", "runs", "eats bread", "plays the guitar")


def nli_rows():
    """Return rows: words in another order are an entailment, "not" a contradiction, another action is neutral."""
    rows = []
    for subject in SUBJECTS:
        for number, action in enumerate(ACTIONS):
            premise = f"{subject} {action}"
            rows += [
                NliRow(premise, f"{action} {subject}", Label.ENTAILMENT),
                NliRow(premise, f"{subject} is not {action}", Label.CONTRADICTION),
                NliRow(premise, f"{subject} {ACTIONS[number - 1]} quickly", Label.NEUTRAL),
            ]
    return rows


def sts_rows():
    """Return pairs whose score is half for the same subject and half for the same action."""
    texts = [(subject, action) for subject in SUBJECTS for action in ACTIONS]
    return [
        StsRow(" ".join(one), " ".join(other), ((one[0] == other[0]) + (one[1] == other[1])) / 2)
        for place, one in enumerate(texts)
        for other in texts[place::4]
    ]


def nli_settings(loss="mnrl", **changes):
    return NliSettings(
        data="generated", **{"epochs": 8, "batch_size": 10, "learning_rate": 3e-3, "loss": loss} | changes
    )


def sts_settings(**changes):
    return StsSettings(data="generated", **{"epochs": 8, "batch_size": 16, "learning_rate": 3e-3} | changes)


def texts():
    return [row.hypothesis for row in nli_rows()]


def trainer(model, setup, teacher=None):
    return PhaseTrainer(model, setup, dev=sts_rows()[::3], teacher=teacher)


def distil(model, setup, **changes):
    teacher = Teacher(SavedModel("teacher", None, inspect_checkpoint(Path(model.teacher))))
    settings = DistilSettings(**{"epochs": 8, "batch_size": 10, "learning_rate": 3e-3} | changes)
    trainer(model, setup, teacher).train("distil", [TextRow(text) for text in texts()], settings)


PHASES = {
    "nli mnrl": lambda model, setup, **changes: trainer(model, setup).train(
        "nli", nli_rows(), nli_settings("mnrl", **changes)
    ),
    "nli softmax": lambda model, setup, **changes: trainer(model, setup).train(
        "nli", nli_rows(), nli_settings("softmax", **changes)
    ),
    "sts": lambda model, setup, **changes: trainer(model, setup).train("sts", sts_rows(), sts_settings(**changes)),
    "distil": distil,
}
every_phase = pytest.mark.parametrize("phase", PHASES)


@pytest.fixture
def small_model(tiny_model, tiny_base):
    """A sentence model of two layers, small enough to train quickly."""

    def build(name="base"):
        model = tiny_model(name=name, depth=2, width=32, spread=0.05)
        model.teacher = tiny_base(name=f"{name} teacher", depth=3, width=32, seed=7)
        return model

    return build


def train(phase, model, *, hardware=CPU, seed=1, **changes):
    """Train and return the reports."""
    reports = []
    PHASES[phase](model, TrainerSetup(hardware, seed, reports.append), **changes)
    return reports


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@every_phase
@pytest.mark.parametrize("hardware", [CPU, CPU_BFLOAT16], ids=["float32", "bfloat16"])
def test_training_lowers_the_loss_and_keeps_float32_weights(small_model, phase, hardware):
    model = small_model()

    reports = train(phase, model, hardware=hardware)

    assert reports[-1].loss < 0.8 * reports[0].loss
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@every_phase
def test_the_same_seed_gives_the_same_weights_bit_for_bit(small_model, phase):
    one, same, other = small_model("one"), small_model("same"), small_model("other")

    train(phase, one, epochs=1)
    torch.rand(7)  # whatever else drew random numbers in between
    train(phase, same, epochs=1)
    train(phase, other, epochs=1, seed=2)

    first = weights(one)
    assert all(torch.equal(first[name], tensor) for name, tensor in weights(same).items())
    assert not all(torch.equal(first[name], tensor) for name, tensor in weights(other).items())


@every_phase
def test_every_layer_learns(small_model, phase):
    model = small_model()
    before = weights(model)

    train(phase, model, epochs=1)

    unchanged = {name for name, tensor in weights(model).items() if torch.equal(tensor, before[name])}
    assert not {name for name in unchanged if "pooler" not in name and not name.endswith("position_ids")}


@every_phase
def test_a_trained_model_is_left_in_evaluation_mode_and_the_optimizer_steps_are_counted(small_model, phase):
    model = small_model()

    reports = train(phase, model, epochs=3.5)

    assert not any(module.training for module in model.modules())
    assert reports[-1].optimizer_step == reports[-1].num_optimizer_steps
    assert [report.optimizer_step for report in reports] == sorted({report.optimizer_step for report in reports})
    assert all(report.sentences_per_s > 0 for report in reports)


def test_bfloat16_computes_something_else_than_float32(small_model):
    one, other = small_model("one"), small_model("other")

    losses = [
        train("sts", model, hardware=hardware, epochs=1)[0].loss
        for model, hardware in ((one, CPU), (other, CPU_BFLOAT16))
    ]

    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@every_phase
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_phase_with_advice(small_model, phase, value):
    model = small_model()
    with torch.no_grad():
        encoder_of(model).embeddings.word_embeddings.weight.fill_(value)

    with pytest.raises(TrainingError) as caught:
        train(phase, model)

    assert str(caught.value).startswith("The loss became nan at optimizer step 1 of ")
    assert str(caught.value).endswith("Lower the learning rate, or set precision=float32; nothing was saved.")


@pytest.mark.parametrize("at_most", [3, 10, 1000])
def test_max_rows_bounds_the_rows_that_are_trained_on(small_model, monkeypatch, at_most):
    counts = []
    monkeypatch.setattr(phases, "train", lambda _model, phase, *_: counts.append(len(phase.examples)))

    train("sts", small_model(), max_rows=at_most)
    train("nli softmax", small_model("again"), max_rows=at_most)

    assert counts == [min(at_most, len(sts_rows())), min(at_most // 3 * 3, len(nli_rows()))]


def test_rows_without_contradictions_make_no_triplets(small_model):
    rows = [row for row in nli_rows() if row.label is Label.ENTAILMENT]

    with pytest.raises(DataError) as caught:
        PhaseTrainer(small_model(), TrainerSetup(CPU, 1, print)).train("nli", rows, nli_settings())

    assert str(caught.value).startswith(
        "No triplet can be made of 25 premises with 25 entailments and 0 contradictions"
    )


def test_the_classifier_is_trained_and_not_part_of_the_model(small_model):
    model = small_model()
    names = set(model.state_dict())

    train("nli softmax", model, epochs=1)

    assert set(model.state_dict()) == names


@pytest.mark.parametrize("steps", [1, 2, 10, 101])
@pytest.mark.parametrize("warmup_ratio", [0.0, 0.1, 0.5, 1.0])
def test_the_learning_rate_rises_then_falls_and_never_stands_at_zero(steps, warmup_ratio):
    rates = [rate_factor(step, steps, warmup_ratio) for step in range(steps)]

    top = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert top <= math.ceil(steps * warmup_ratio)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "device=cuda: torch sees 0 CUDA devices here. Use device=auto or device=cpu."),
        ("cuda:3", "device=cuda:3: torch sees 0 CUDA devices here. Use device=auto or device=cpu."),
        ("mps", "device=mps: torch sees no Apple GPU here. Use device=auto or device=cpu."),
    ],
)
def test_a_device_that_this_machine_lacks_is_refused(monkeypatch, device, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    with pytest.raises(RecipeError) as caught:
        choose_hardware(device, "auto")

    assert str(caught.value) == message


def test_a_gpu_behind_the_last_one_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    with pytest.raises(RecipeError) as caught:
        choose_hardware("cuda:2", "float32")

    assert str(caught.value) == "device=cuda:2: torch sees 2 CUDA devices here. Use device=auto or device=cpu."


@pytest.mark.parametrize(("precision", "expected"), [("float32", "float32"), ("bfloat16", "bfloat16")])
def test_a_precision_asked_for_is_taken(precision, expected):
    hardware = choose_hardware("cpu", precision)

    assert hardware.precision == expected
    assert str(hardware) == f"cpu, {torch.get_num_threads()} threads, {expected}"


@pytest.mark.parametrize("has_instructions", [True, False])
def test_bfloat16_is_chosen_on_a_cpu_exactly_where_it_has_the_instructions(monkeypatch, has_instructions):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)

    assert choose_hardware("cpu", "auto").bfloat16 is has_instructions


def test_auto_takes_the_cpu_where_there_is_nothing_better(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    assert choose_hardware("auto", "float32") == CPU


@pytest.mark.parametrize("loss", ["cosine", "cosent", "angle"])
def test_every_sts_loss_brings_similar_pairs_together(small_model, loss):
    reports = train("sts", small_model(), loss=loss)

    scores = [report.dev_score for report in reports if report.dev_score is not None]
    assert scores[-1] > 0.8  # most pairs share a score, so 1 is out of reach
    assert reports[-1].loss < reports[0].loss


@pytest.mark.parametrize(
    "changes",
    [{"directions": "both"}, {"hard_negatives": False}, {"adaptive_layers": True}, {"matryoshka_dims": (16, 8)}],
    ids=str,
)
def test_every_way_of_nli_lowers_its_loss(small_model, changes):
    reports = train("nli mnrl", small_model(), **changes)

    assert reports[-1].loss < 0.85 * reports[0].loss


def test_more_dimensions_than_there_are_are_refused(small_model):
    with pytest.raises(RecipeError) as caught:
        train("sts", small_model(), matryoshka_dims=(16, 32))

    assert str(caught.value) == "matryoshka_dims=16,32: the embeddings have 32 dimensions. Ask for fewer."


def test_a_student_of_its_own_size_comes_near_its_teacher(small_model, tiny_base):
    reports = train("distil", small_model(), epochs=40)

    assert reports[-1].loss < 0.1 * reports[0].loss


def test_a_teacher_besides_the_labels_has_an_effect(small_model):
    model, labels_alone = small_model("taught"), small_model("alone")
    teacher = Teacher(SavedModel("teacher", None, inspect_checkpoint(Path(model.teacher))))
    target = embed(load_saved(teacher.source.checkpoint), texts())

    def distance(student):
        vectors = embed(student, texts())
        return float(np.mean(1 - (vectors * target).sum(axis=1) / np.linalg.norm(target, axis=1)))

    trainer(model, TrainerSetup(CPU, 1, lambda _: None), teacher).train(
        "sts", sts_rows(), sts_settings(distillation=5.0)
    )
    trainer(labels_alone, TrainerSetup(CPU, 1, lambda _: None)).train("sts", sts_rows(), sts_settings())

    assert distance(model) < 0.5 * distance(labels_alone)
