"""A plan tells what `full` would do, and does none of it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.__main__ import main
from pipelines.full import run_full

SMALL = ["--sts-epochs", "1", "--layers", "2", "--precision", "float32", "--registered-model", "sbert-small"]


def plan(project, *given):
    done = CliRunner().invoke(
        main, ["full", "--plan", "true", "--nli-data", str(project.nli), "--sts-data", str(project.sts), *SMALL, *given]
    )
    return done.exit_code, done.output


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_a_plan_leaves_nothing_behind(project):
    before = files_below(project.folder)

    status, output = plan(project)

    assert status == 0, output
    assert files_below(project.folder) == before
    assert "reuse     nothing: no reference for this recipe and data yet" in output
    assert "nothing was trained or recorded" in output


def test_a_plan_counts_the_optimizer_steps_of_reference_and_variant(project):
    _, output = plan(project, "--phases", "nli,distil,sts", "--sts-distillation", "1", "--sts-batch-size", "16")

    told = {
        (who, phase): (int(rows), int(steps))
        for who, phase, rows, steps in re.findall(
            r"train +(reference|variant)[^,]*, (\w+): ([\d]+) examples, (\d+) optimizer steps of [\d,]+ ms", output
        )
    }
    assert set(told) == {("reference", "nli"), ("reference", "sts"), ("variant", "nli"), ("variant", "distil"), ("variant", "sts")}
    assert told["variant", "sts"] == (96, 6)
    assert told["reference", "sts"] == (96, 6)
    assert re.search(r"time +\d+ s of training on cpu", output)
    assert re.search(r"disk +\d+ MB to keep, \d+ MB on the way; [\d,]+ MB are free", output)


def test_a_plan_says_which_reference_is_there(project):
    run_full(project.recipe())

    status, output = plan(project)

    assert status == 0, output
    assert re.search(r"reuse +version 1 of sbert-small as the reference", output)
    assert "train     reference" not in output


@pytest.mark.parametrize("given", ["yes", "1", "ture"])
def test_a_plan_is_wanted_or_not(project, given):
    done = CliRunner().invoke(main, ["full", "--plan", given])

    assert done.exit_code == 2
    assert f"plan={given}: write true or false" in done.output
