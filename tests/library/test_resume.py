"""A phase that is interrupted at any optimizer step resumes from its checkpoint and ends with the same weights."""

import json
import math
from dataclasses import replace

import pytest
import torch

from sbert_prune.errors import TrainingError
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training import gradients, loop
from sbert_prune.training import optimizer as stepping
from sbert_prune.training.checkpoints import Checkpoints, PhaseState
from sbert_prune.training.setup import TrainerSetup
from tests.library.test_phase_ends import scarce
from tests.library.test_training import CPU, CPU_BFLOAT16, PHASES, every_phase, weights


@pytest.fixture
def small_model(tiny_model, tiny_base):
    """Two layers with dropout: the random state has to be restored as well."""

    def build(name):
        model = tiny_model(name=name, depth=2, width=32, spread=0.05)
        model.teacher = tiny_base(name=f"{name} teacher", depth=3, width=32, seed=7)
        return model

    return build


class Interrupted(BaseException):
    """Raised at the optimizer step where a phase is interrupted."""


class Run:
    """A phase that may be interrupted after some optimizer steps, with its reports and notices."""

    def __init__(self, folder, *, hardware=CPU, every_s=math.inf):
        self.checkpoints = Checkpoints(folder, every_s)
        self.hardware = hardware
        self.reports, self.notices = [], []

    def train(self, phase, model, *, stop_after=None, **changes):
        steps = 0

        def tick(_doing, _share):
            nonlocal steps
            steps += 1
            if steps == stop_after:
                raise Interrupted

        # Tokenising and computing targets call tick as well: here only optimizer steps count.
        without_tick = TrainerSetup(
            self.hardware, 1, self.reports.append, notice=self.notices.append, checkpoints=self.checkpoints
        )
        original = loop._train

        def ticking(model, phase, settings, *, setup, **rest):
            original(model, phase, settings, setup=replace(setup, tick=tick), **rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "_train", ticking)
            PHASES[phase](model, without_tick, **changes)


def folders(checkpoints):
    return sorted(path.name for path in checkpoints.folder.glob("[0-9]*"))


@pytest.mark.parametrize(
    ("phase", "hardware", "stops_after"),
    [
        ("sts", CPU, (1, 7, 11)),
        ("sts", CPU_BFLOAT16, (7,)),
        *((other, CPU, (7,)) for other in PHASES if other != "sts"),
    ],
    ids=str,
)
def test_an_interrupted_phase_resumes_to_the_same_weights_and_reports(
    small_model, tmp_path, phase, hardware, stops_after
):
    undisturbed, whole = small_model("one"), Run(tmp_path / "whole", hardware=hardware)
    whole.train(phase, undisturbed)
    expected = [
        (report.optimizer_step, report.loss, report.gradient_norm, report.dev_score) for report in whole.reports
    ]

    for stop_after in stops_after:
        disturbed, again = small_model(f"stopped after {stop_after}"), small_model(f"again after {stop_after}")
        first, second = (Run(tmp_path / f"parts {stop_after}", hardware=hardware) for _ in range(2))
        with pytest.raises(Interrupted):
            first.train(phase, disturbed, stop_after=stop_after)
        second.train(phase, again)

        assert second.notices[0].startswith(f"resumed after optimizer step {stop_after} of ")
        assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(undisturbed).items())
        assert [
            (report.optimizer_step, report.loss, report.gradient_norm, report.dev_score) for report in second.reports
        ] == expected


def test_many_ends_one_after_the_other_lead_to_the_same_weights(small_model, tmp_path):
    undisturbed, last = small_model("one"), small_model("last")
    Run(tmp_path / "whole").train("sts", undisturbed)

    for attempt in range(6):
        with pytest.raises(Interrupted):
            Run(tmp_path / "parts").train("sts", small_model(f"try {attempt}"), stop_after=3)
    Run(tmp_path / "parts").train("sts", last)

    assert all(torch.equal(tensor, weights(last)[name]) for name, tensor in weights(undisturbed).items())


@every_phase
def test_a_finished_phase_is_not_trained_again(small_model, tmp_path, monkeypatch, phase):
    done, again = small_model("done"), small_model("again")
    first, second = Run(tmp_path), Run(tmp_path)
    first.train(phase, done)
    monkeypatch.setattr(stepping.Stepper, "step", None)

    second.train(phase, again)

    assert second.notices[0] == "resumed at its end"
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(done).items())
    assert second.reports == first.reports
    assert not any(module.training for module in again.modules())


@pytest.mark.parametrize("keep", ["best", "last"])
def test_what_was_best_before_the_end_is_still_known_after_it(small_model, tmp_path, keep):
    changes = {"learning_rate": 0.5, "evaluate_every": 0.5, "keep": keep}
    undisturbed, disturbed, again = small_model("one"), small_model("two"), small_model("two again")
    whole, first, second = (Run(tmp_path / name) for name in ("whole", "parts", "parts"))
    whole.train("sts", undisturbed, **changes)

    with pytest.raises(Interrupted):
        first.train("sts", disturbed, stop_after=25, **changes)
    second.train("sts", again, **changes)

    assert (keep == "best") == any("kept the weights of optimizer step" in notice for notice in whole.notices)
    assert second.notices[1:] == whole.notices
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(undisturbed).items())


def test_patience_does_not_begin_again_after_an_end(small_model, tmp_path):
    changes = {"learning_rate": 0.5, "epochs": 100, "patience": 2}
    undisturbed, disturbed, again = small_model("one"), small_model("two"), small_model("two again")
    whole, first, second = (Run(tmp_path / name) for name in ("whole", "parts", "parts"))
    whole.train("sts", undisturbed, **changes)
    last = whole.reports[-1].optimizer_step

    with pytest.raises(Interrupted):
        first.train("sts", disturbed, stop_after=last - 1, **changes)
    second.train("sts", again, **changes)

    assert second.reports[-1].optimizer_step == last < second.reports[-1].num_optimizer_steps
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(undisturbed).items())


def test_a_batch_that_was_cut_stays_cut_after_an_end(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(gradients, "embed_batch", scarce(gradients.embed_batch, sentences=16))
    first, second = Run(tmp_path), Run(tmp_path)

    with pytest.raises(Interrupted):
        first.train("sts", small_model("one"), stop_after=3, epochs=1)
    second.train("sts", small_model("again"), epochs=1)

    assert any("out of memory" in notice for notice in first.notices)
    assert not any("out of memory" in notice for notice in second.notices)


def test_at_most_two_checkpoints_lie_on_the_disk(small_model, tmp_path):
    run = Run(tmp_path, every_s=0)

    with pytest.raises(Interrupted):
        run.train("sts", small_model("one"), stop_after=9)

    assert folders(run.checkpoints) == ["000000008", "000000009"]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(small_model, tmp_path):
    undisturbed, again = small_model("one"), small_model("again")
    Run(tmp_path / "whole").train("sts", undisturbed)
    with pytest.raises(Interrupted):
        Run(tmp_path / "parts", every_s=0).train("sts", small_model("two"), stop_after=9)
    file = tmp_path / "parts" / "000000009" / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    second = Run(tmp_path / "parts")

    second.train("sts", again)

    assert second.notices[0].startswith("resumed after optimizer step 8 of ")
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(undisturbed).items())


def test_what_a_killed_process_left_half_written_is_no_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path / "phase", 0)
    checkpoints.save(3, PhaseState({"done": 3}, {"weight": torch.ones(2)}))
    (tmp_path / "phase" / ".000000004.here-1-abcd.partial").mkdir()

    found = checkpoints.load()

    assert found is not None
    assert found.position == {"done": 3}


def test_a_place_that_cannot_be_written_costs_the_checkpoint_and_not_the_training(small_model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    run = Run(tmp_path / "file" / "phase", every_s=0)

    run.train("sts", small_model("one"), epochs=1)

    assert run.reports[-1].optimizer_step == run.reports[-1].num_optimizer_steps
    assert run.notices[0].startswith("no checkpoint at optimizer step 1, training continues: ")


def test_a_checkpoint_is_plain_values_and_safetensors(small_model, tmp_path):
    run = Run(tmp_path)

    with pytest.raises(Interrupted):
        run.train("sts", small_model("one"), stop_after=12)

    assert sorted(path.name for path in (tmp_path / "000000012").iterdir()) == ["position.json", "tensors.safetensors"]
    assert json.loads((tmp_path / "000000012" / "position.json").read_text())["done"] == 12


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_went_wrong_never_reach_a_checkpoint_and_the_last_good_one_is_named(small_model, tmp_path, value):
    model = small_model("one")
    run = Run(tmp_path, every_s=0)
    with pytest.raises(Interrupted):
        run.train("sts", model, stop_after=4)
    tensors = run.checkpoints.load()

    def poison():
        with torch.no_grad():
            encoder_of(again).embeddings.word_embeddings.weight.fill_(value)

    again = small_model("again")
    second = Run(tmp_path, every_s=math.inf)
    second.reports = Poisoned(poison)
    with pytest.raises(TrainingError) as caught:
        second.train("sts", again)

    assert "The checkpoint of optimizer step 4 is kept in " in str(caught.value)
    assert str(caught.value).startswith("The loss became nan at optimizer step 7 of ")
    assert tensors.position == run.checkpoints.load().position


class Poisoned(list):
    """Damages the weights at the first report."""

    def __init__(self, poison):
        self.poison = poison

    def append(self, _report):
        self.poison()
