"""A plan prints what `full` would do, and does none of it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.__main__ import main
from pipelines.flows.full import run_full
from tests.small_base import save_small_base

SMALL = ["--sts-epochs", "1", "--layers", "2", "--precision", "float32", "--registered-model", "sbert-small"]
SMALL_BATCHES = ["--nli-batch-size", "8", "--sts-batch-size", "8", "--distil-batch-size", "8", "--max-seq-length", "16"]


def plan(project, *options):
    arguments = ["full", "--plan", "true", *project.given, *SMALL, *options]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_a_plan_counts_the_optimizer_steps_and_leaves_nothing_behind(untouched):
    before = files_below(untouched.folder)

    output = plan(untouched, "--phases", "nli,distil,sts", "--sts-distillation", "1", *SMALL_BATCHES)

    line = r"train +(reference|variant)[^,]*, (\w+): ([\d]+) examples, (\d+) optimizer steps of [\d,]+ ms"
    planned = {(model, phase): (int(rows), int(steps)) for model, phase, rows, steps in re.findall(line, output)}
    assert set(planned) == {
        ("reference", "nli"),
        ("reference", "sts"),
        ("variant", "nli"),
        ("variant", "distil"),
        ("variant", "sts"),
    }
    assert planned["variant", "sts"] == planned["reference", "sts"] == (96, 12)
    assert re.search(r"time +\d+ s of training on cpu", output)
    assert re.search(r"disk +\d+ MB to keep, \d+ MB on the way; [\d,]+ MB are free", output)
    assert "reuse     nothing: no reference for this recipe and data yet" in output
    assert "nothing was trained or recorded" in output
    assert files_below(untouched.folder) == before


def test_a_plan_follows_a_schedule_and_a_teacher_layer_by_layer(project):
    short = [
        "--phases",
        "distil,sts",
        "--distil-layer-weight",
        "1",
        "--nli-max-rows",
        "60",
        "--sts-max-rows",
        "16",
        *SMALL_BATCHES,
    ]

    output = plan(project, *short[:-2], "--max-seq-length", "16", "--schedule", "3,2,1", "--layers", "1")

    planned = re.findall(r"train +(reference|variant \d+ layers), (\w+):", output)
    assert planned == [
        ("reference", "sts"),
        *((f"variant {depth} layers", phase) for depth in (2, 1) for phase in ("distil", "sts")),
    ]


def trained(output: str) -> list[str]:
    """Return the lines of training, without their times."""
    return [line.partition(":")[0] for line in output.splitlines() if line.startswith("train ")]


def training(model: str) -> list[str]:
    return [f"train     {model}, {phase}" for phase in ("nli", "sts")]


@pytest.fixture(scope="module")
def made(make_variant, tmp_path_factory: pytest.TempPathFactory):
    """A project in which `full` has made two layers and the reference."""
    with pytest.MonkeyPatch.context() as patch:
        project = make_variant(tmp_path_factory.mktemp("made"))
        project.use(patch)
        yield project


def test_a_plan_after_full_trains_nothing(made):
    before = files_below(made.folder)

    output = plan(made, "--robustness", "20")

    assert trained(output) == []
    assert "time      nothing is trained on cpu" in output
    assert re.search(r"reuse +version 1 of sbert-small as the reference \(run \w+\)\n", output)
    assert re.search(r"reuse +version 2 of sbert-small as the variant of 2 layers \(run \w+\)\n", output)
    assert files_below(made.folder) == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--robustness", "0"), []),  # evaluated again
        (("--layers", "1"), training("variant 1 layers")),
        (("--layers", "3"), []),  # the reference
        (("--force", "true"), training("variant 2 layers")),
        (("--layers", "3", "--force", "true"), training("reference")),
        (("--seeds", "42,43"), training("reference") + training("variant 2 layers")),  # for 43
    ],
)
def test_a_plan_reuses_what_the_command_reuses(made, options, expected):
    output = plan(made, "--robustness", "20", *options)

    assert trained(output) == expected
    assert " times" not in output
    assert ("it is evaluated again" in output) == ("--robustness" in options)


@pytest.mark.slow
def test_a_plan_of_a_sweep_counts_each_selection_once_and_leaves_out_what_is_there(made):
    options = [*made.given, *SMALL[:2], *SMALL[4:], "--robustness", "20", "--plan", "true"]

    done = CliRunner().invoke(main, ["sweep", *options, "--depths", "3,2,1", "--strategies", "drop-top,drop-middle"])

    assert done.exit_code == 0, done.output
    assert trained(done.output) == training("variant 2 layers") + training("variant 1 layers")
    assert " times" not in done.output  # of 2 layers, drop-top is there; of one, both keep the first


TINY = {"phases": "sts", "sts__max_rows": "16", "sts__batch_size": "8"}
TINY_OPTIONS = ("--phases", "sts", "--sts-max-rows", "16", *SMALL_BATCHES[2:4], "--robustness", "20")


@pytest.mark.slow
def test_a_plan_reuses_the_steps_that_a_command_has_finished_before_it_was_killed(project, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.steps.register.register", killed)
        with pytest.raises(KeyboardInterrupt):
            run_full(project.recipe(**TINY))
    before = files_below(project.folder)

    output = plan(project, *TINY_OPTIONS)

    assert trained(output) == ["train     variant 2 layers, sts"]
    assert re.search(r"reuse +step prune of run \w+, for the reference", output)
    assert re.search(r"reuse +step train_sts of run \w+, for the reference", output)
    assert files_below(project.folder) == before


def test_a_teacher_of_another_base_is_not_followed_layer_by_layer(untouched):
    save_small_base(untouched.folder / "deeper", depth=6)
    options = ["--phases", "distil,sts", "--distil-layer-weight", "1", "--distil-teacher", "deeper", "--layers", "2"]

    done = CliRunner().invoke(main, ["full", *untouched.given, *options])

    assert done.exit_code == 2
    assert "has the layers 0-5 of 6, the student 0,1 of 3: they cannot be compared one by one" in done.output
    assert not (untouched.folder / "mlflow.db").exists()


@pytest.mark.parametrize("value", ["yes", "ture"])
def test_plan_is_true_or_false(project, value):
    done = CliRunner().invoke(main, ["full", "--plan", value])

    assert done.exit_code == 2
    assert f"plan={value}: write true or false" in done.output
