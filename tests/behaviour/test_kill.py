"""`full`, killed without a warning, ends with what it would have left undisturbed."""

import random
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sbert_prune.registry.version import unpack_tags
from tests import commands
from tests.commands import Started
from tests.pipelines.conftest import Project

RECIPE = ("--layers", "2", "--nli-epochs", "25", "--sts-epochs", "8", "--checkpoint-minutes", "0")


def start(project: Project, recipe: tuple[str, ...] = RECIPE) -> Started:
    temporary = project.folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return commands.start(
        project.folder, "full", *recipe, *project.given, MLFLOW_TRACKING_URI=project.uri, TMPDIR=str(temporary)
    )


def unfinished(project: Project) -> set[Path]:
    return set((project.folder / ".sbert-prune" / "unfinished").glob("*/*/[0-9]*"))


def kill_at(command: Started, project: Project, phase: int, step: int) -> None:
    """Kill once the phase with this number, counted from 1, has a checkpoint of this optimizer step."""
    seen: set[Path] = set()  # the checkpoints of a phase go when it is done

    def is_there() -> bool:
        found = unfinished(project)
        seen.update(path.parent for path in found)
        with suppress(FileNotFoundError, ValueError):  # an old one goes while we look
            return len(seen) >= phase and max(found, key=lambda path: path.stat().st_mtime).name >= f"{step:09}"
        return False

    command.wait_for(is_there)
    command.kill()


def finish(project: Project, recipe: tuple[str, ...] = RECIPE) -> str:
    command = start(project, recipe)
    command.end()
    return command.output


@pytest.mark.slow
def test_the_same_command_after_a_kill_makes_the_same_model(tmp_path, make_project):
    quiet, killed = make_project(tmp_path / "quiet"), make_project(tmp_path / "killed")
    finish(quiet)

    kill_at(start(killed), killed, phase=1, step=7)
    kill_at(start(killed), killed, phase=2, step=5)
    told = finish(killed)

    made, expected = (
        MlflowClient(project.uri).search_model_versions("name = 'sbert-quickstart-paper'")
        for project in (killed, quiet)
    )
    digests = [
        {(v.tags["sbert_prune.role"], unpack_tags(v.tags)["sbert_prune.model_sha256"]) for v in versions}
        for versions in (made, expected)
    ]
    assert "resumed after optimizer step" in told
    assert digests[0] == digests[1]
    assert len(made) == len(expected) == 2
    assert not (killed.folder / ".sbert-prune").exists()


SHORT = ("--layers", "2", "--sts-epochs", "2", "--robustness", "20", "--checkpoint-minutes", "0")
KILLS = 20


def left_in(project: Project) -> dict[str, object]:
    """What users and disks see of a store."""
    client = MlflowClient(project.uri)
    versions = client.search_model_versions("name = 'sbert-quickstart-paper'")
    told = ("role", "model_sha256", "fingerprint", "kept_layers", "variant_key", "sts_dev_digest")
    folders = [path.name for path in (project.folder / "mlruns" / "0" / "models").iterdir() if any(path.iterdir())]
    return {
        "versions": sorted(
            (v.version, *(unpack_tags(v.tags)[f"sbert_prune.{key}"] for key in told), sorted(unpack_tags(v.tags)))
            for v in versions
        ),
        "scores": [
            {key: value for key, value in unpack_tags(v.tags).items() if key.startswith(("sts_", "quality/"))}
            for v in versions
        ],
        "models": len(client.search_logged_models(["0"])),
        "folders of models": len(folders),
        "open runs": len(client.search_runs(["0"], "attributes.status = 'RUNNING'")),
        "unfinished": (project.folder / ".sbert-prune").exists(),
        "temporary files": [path.name for path in (project.folder / "tmp").iterdir()],
    }


@pytest.mark.slow
def test_two_commands_at_once_make_one_variant(tmp_path, make_project):
    project = make_project(tmp_path)

    both = [start(project, SHORT), start(project, SHORT)]
    assert [command.end() for command in both] == [0, 0]
    told = [command.output for command in both]

    assert any("another command makes the same variant now" in text for text in told), told
    assert sum(text.count("step train_sts") for text in told) == 2, "the reference once, the variant once"
    assert all("models:/sbert-quickstart-paper/2" in text for text in told), told
    left = left_in(project)
    assert len(left["versions"]) == 2
    assert (left["open runs"], left["unfinished"]) == (0, False)


@pytest.mark.slow
def test_a_command_that_takes_over_from_a_killed_one_closes_its_runs(tmp_path, make_project):
    project = make_project(tmp_path)
    first = start(project, SHORT)
    first.wait_for("step train_nli")
    second = start(project, SHORT)
    second.wait_for("another command makes the same variant now")
    open_before = MlflowClient(project.uri).search_runs(["0"], "attributes.status = 'RUNNING'")

    first.kill()
    second.wait_for("step train_nli")
    closed = MlflowClient(project.uri).search_runs(["0"], "attributes.status = 'KILLED'")

    assert len(open_before) in {3, 4}, "two of the first, its step's unless it is between two, one of the second"
    assert len(closed) in {2, 3}
    assert "closed as KILLED, because their process ended without closing them" in second.output
    assert second.end() == 0, second.output
    left = left_in(project)
    assert (len(left["versions"]), left["open runs"], left["temporary files"]) == (2, 0, [])


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_at_random_moments_it_leaves_what_it_leaves_undisturbed(tmp_path, make_project):
    draw = random.Random(7)
    quiet, began = make_project(tmp_path / "quiet"), time.monotonic()
    finish(quiet, SHORT)
    whole_s, expected = time.monotonic() - began, left_in(quiet)
    assert len(expected["versions"]) == 2
    survivors, closed = [make_project(tmp_path / "0")], 0

    for _ in range(KILLS):
        command = start(survivors[-1], SHORT)
        command.process.join(draw.uniform(0.1, 0.6) * whole_s)
        if command.is_running:
            command.kill()
        else:
            survivors.append(make_project(tmp_path / str(len(survivors))))
    told = finish(survivors[-1], SHORT)

    for project in survivors:
        assert left_in(project) == expected, told
        closed += len(MlflowClient(project.uri).search_runs(["0"], "attributes.status = 'KILLED'"))
    assert closed > 0
