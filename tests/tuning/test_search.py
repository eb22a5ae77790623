"""`search` from first trial to challenger, on a small project with a real store."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from pipelines.__main__ import main as pipelines_main
from sbert_prune.metrics import metric_of
from sbert_prune.recipe.files import load_recipe
from sbert_prune.registry.version import unpack_tags
from tests.commands import start
from tests.pipelines.conftest import Project
from tests.tuning.in_workers import folders_of
from tuning.__main__ import main
from tuning.settings import Aim
from tuning.study import DIGEST, open_study, stored_trials

SHORT = (
    "--sts-epochs",
    "1",
    "--nli-max-rows",
    "40",
    "--robustness",
    "0",
    "--precision",
    "float32",
    "--registered-model",
    "sbert-small",
)
QUICK = ("--screening", "untrained", "--finalists", "1", "--space", "layers")


def given_to(project: Project) -> tuple[str, ...]:
    return (*project.given, *SHORT)


def search(project: Project, *given: str):
    return CliRunner().invoke(main, ["search", *given_to(project), *given])


def runs_of(client: MlflowClient, step: str):
    return client.search_runs(["0"], f"tags.sbert_prune.step = '{step}'", order_by=["attributes.start_time ASC"])


def artifact(run, name: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name))


def versions(client: MlflowClient):
    found = client.search_model_versions("name='sbert-small'")
    return {str(version.version): version for version in sorted(found, key=lambda version: int(version.version))}


@pytest.fixture(scope="module")
def searched(make_project, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        project = make_project(tmp_path_factory.mktemp("a project"))
        project.use(patch)
        done = search(
            project,
            *("--layers", "2", "--trials", "6", "--space", "layers", "--finalists", "2", "--keep-models", "2"),
            *("--controls", "5", "--json"),
        )
        assert done.exit_code == 0, done.output
        yield project, MlflowClient(project.uri), done.output


@pytest.mark.slow
def test_every_trial_is_one_run_below_the_search_and_records_how_it_ended(searched):
    _, client, said = searched
    (parent,) = runs_of(client, "search")
    trials = runs_of(client, "trial")
    logged = {name for run in client.search_runs(["0"]) for name in run.data.metrics}
    assert [name for name in sorted(logged) if metric_of(name) is None and not name.startswith("system/")] == []
    states = {"FINISHED": "COMPLETE", "KILLED": "PRUNED", "FAILED": "FAIL"}

    assert parent.info.status == "FINISHED"
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in trials)
    numbers = [int(run.data.tags["sbert_prune.trial"]) for run in trials]
    assert numbers == list(range(len(numbers)))
    assert all(run.data.tags["sbert_prune.trial_state"] == states[run.info.status] for run in trials)
    assert all(len(run.data.tags["sbert_prune.kept_layers"].split(",")) == 2 for run in trials)
    controls = [run for run in trials if "sbert_prune.control" in run.data.tags]
    assert said.count("answered by") == len(trials) - len(controls) - 6
    assert all(run.data.tags["sbert_prune.trial_state"] == "COMPLETE" for run in controls)
    assert {"random"} <= {run.data.tags["sbert_prune.origin"] for run in controls}
    assert client.search_runs(["0"], "attributes.status = 'RUNNING'") == []


@pytest.mark.slow
def test_a_line_says_before_the_first_trial_what_is_trained_beyond_the_trials(searched):
    _, _, said = searched

    (line,) = (line for line in said.splitlines() if line.startswith("trains "))
    parts = ("6 trials; beyond them shared weights", "5 controls", "2 trainings of finalists: as long as 7.5 trials")
    assert all(part in line for part in parts)
    assert said.index(line) < said.index("trial 0 (")


@pytest.mark.slow
def test_the_last_line_of_json_is_one_object_with_trials_and_answer(searched):
    _, client, said = searched

    facts = json.loads(said.splitlines()[-1])

    challenger = client.get_model_version_by_alias("sbert-small", "challenger")
    assert facts["variant"]["model"] == f"models:/sbert-small/{challenger.version}"
    assert facts["answer"]["layers"] == facts["variant"]["kept_layers"]
    assert facts["answer"]["trial"] in [finalist["trial"] for finalist in facts["finalists"]]
    assert {trial["trial"] for trial in facts["trials"]} == set(range(len(facts["trials"])))


@pytest.mark.slow
def test_every_complete_trial_is_a_version_and_the_best_alone_keep_their_bytes(searched):
    _, client, _ = searched
    complete = [
        run
        for run in runs_of(client, "trial")
        if run.info.status == "FINISHED" and "sbert_prune.model" in run.data.tags
    ]
    found = versions(client)
    by_run = {version.run_id: version for version in found.values()}
    ranked = sorted(complete, key=lambda run: -run.data.metrics["sts_dev/spearman_cosine"])

    assert {run.info.run_id for run in complete} <= set(by_run)
    kept = [run for run in ranked if by_run[run.info.run_id].tags.get("sbert_prune.bytes") != "let go"]
    assert kept == ranked[:2]
    roles = [by_run[run.info.run_id].tags["sbert_prune.role"] for run in ranked]
    assert roles.count("variant") == 1
    assert set(roles) <= {"trial", "variant"}


@pytest.mark.slow
def test_the_answer_is_judged_once_and_is_the_challenger(searched):
    _, client, said = searched
    (parent,) = runs_of(client, "search")
    challenger = client.get_model_version_by_alias("sbert-small", "challenger")
    tags = parent.data.tags

    assert challenger.current_stage == "Staging"
    assert tags["sbert_prune.model"] == f"models:/sbert-small/{challenger.version}"
    assert "sts_test/spearman_cosine" in challenger.tags
    judged = [version for version in versions(client).values() if "sts_test/spearman_cosine" in version.tags]
    assert len(judged) == 2  # the reference, and the answer
    recipe = load_recipe(str(artifact(parent, "best_recipe.yaml")), {})
    assert unpack_tags(challenger.tags)["sbert_prune.recipe_digest"] == recipe.digest
    assert recipe.layers == challenger.tags["sbert_prune.kept_layers"]
    assert "worth it  " in said


@pytest.mark.slow
def test_the_run_has_tables_charts_and_how_well_screening_ranked(searched):
    _, client, _ = searched
    (parent,) = runs_of(client, "search")
    files = {entry.path for entry in client.list_artifacts(parent.info.run_id)}
    page = artifact(parent, "report.md").read_text()

    assert {
        "report.md",
        "report.html",
        "layers.png",
        "influence.png",
        "history.png",
        "trials.json",
        "screening.json",
    } <= files
    for heading in ("Was it worth it", "Trials trained to their end", "Finalists", "What each fidelity was worth"):
        assert f"## {heading}" in page
    lead = page.split("\n\n")[1]
    assert lead.startswith(("Deploy models:/sbert-small/", "The best is models:/sbert-small/"))
    assert "`mlflow run . -e " in lead
    assert "front.png" not in files  # all trials have the same size
    assert "word embeddings alone" in page
    assert "| drop-top |" in page
    history = client.get_metric_history(parent.info.run_id, "search/best_dev")
    best = [point.value for point in sorted(history, key=lambda point: point.step)]
    assert best == sorted(best)


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_a_larger_total_resumes(searched):
    project, client, _ = searched
    given = ("--layers", "2", "--space", "layers", "--finalists", "2", "--keep-models", "2", "--controls", "5")
    before = len(runs_of(client, "trial"))

    same = search(project, *given, "--trials", "6")
    after = len(runs_of(client, "trial"))
    more = search(project, *given, "--trials", "7")

    planned = search(project, *given, "--trials", "7", "--plan", "true").output
    assert same.exit_code == more.exit_code == 0, same.output + more.output
    for part in ("the reference", "shared weights", " trials: ", "controls", "trainings of finalists"):
        assert f"{part}: " not in planned
        assert not re.search(rf"^search .*{part}", planned, re.MULTILINE)
    assert after == before
    assert "resumes after 6 trials" in same.output
    assert len(runs_of(client, "trial")) > after
    newest = runs_of(client, "search")[-1]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs_of(client, "trial")} == {newest.info.run_id}


@pytest.mark.slow
def test_the_answer_is_promoted_beside_a_champion(searched):
    project, client, _ = searched
    promote = ["promote", "--registered-model", "sbert-small", "--margin", "2", "--version"]
    answer = client.get_model_version_by_alias("sbert-small", "challenger")
    made = CliRunner().invoke(pipelines_main, ["full", *given_to(project), "--layers", "4"])
    assert made.exit_code == 0, made.output
    first = CliRunner().invoke(pipelines_main, [*promote, str(max(map(int, versions(client))))])
    assert first.exit_code == 0, first.output

    promoted = CliRunner().invoke(pipelines_main, [*promote, str(answer.version)])

    assert promoted.exit_code == 0, promoted.output
    assert client.get_model_version_by_alias("sbert-small", "champion").version == answer.version
    judged_on = ("sts_dev_digest", "sts_test_digest", "exam_key")
    assert {f"sbert_prune.{tag}" for tag in judged_on} <= set(unpack_tags(answer.tags))


@pytest.mark.slow
def test_the_registry_is_consistent_after_a_search_and_promote_takes_no_trial(searched):
    _, client, _ = searched

    verified = CliRunner().invoke(pipelines_main, ["verify", "--registered-model", "sbert-small"])
    promoted = CliRunner().invoke(pipelines_main, ["promote", "--registered-model", "sbert-small", "--margin", "2"])

    assert verified.exit_code == 0, verified.output
    assert promoted.exit_code == 0, promoted.output
    champion = client.get_model_version_by_alias("sbert-small", "champion")
    assert champion.tags["sbert_prune.role"] == "variant"


@pytest.mark.slow
def test_a_version_without_bytes_is_made_again_bit_by_bit(searched):
    project, client, _ = searched
    gone = next(version for version in versions(client).values() if version.tags.get("sbert_prune.bytes") == "let go")

    refused = CliRunner().invoke(
        pipelines_main,
        ["promote", "--registered-model", "sbert-small", "--version", str(gone.version), "--stage", "Staging"],
    )
    rebuilt = search(project, "--rebuild", str(gone.version))
    again = search(project, "--rebuild", str(gone.version))

    assert refused.exit_code == 4
    assert f"rebuild={gone.version}" in refused.output
    assert rebuilt.exit_code == 0, rebuilt.output
    assert "has its bytes again" in rebuilt.output
    model = mlflow.sentence_transformers.load_model(f"models:/sbert-small/{gone.version}")
    assert model.encode("a sentence").shape == (32,)
    assert again.exit_code == 2
    assert "There is nothing to make again" in again.output
    verified = CliRunner().invoke(pipelines_main, ["verify", "--registered-model", "sbert-small"])
    assert verified.exit_code == 0, verified.output


@pytest.mark.slow
def test_full_makes_the_very_model_that_a_trial_was(searched):
    project, client, _ = searched
    trial = next(version for version in versions(client).values() if version.tags["sbert_prune.role"] == "trial")

    done = CliRunner().invoke(
        pipelines_main,
        ["full", *given_to(project), "--layers", trial.tags["sbert_prune.kept_layers"], "--force", "true"],
    )

    assert done.exit_code == 0, done.output
    newest = list(versions(client).values())[-1]
    assert newest.version != trial.version
    assert unpack_tags(newest.tags)["sbert_prune.model_sha256"] == unpack_tags(trial.tags)["sbert_prune.model_sha256"]


@pytest.mark.slow
def test_a_killed_search_resumes_to_the_same_total(project):
    given = [*given_to(project), "--layers", "2", "--trials", "4", *QUICK]
    log = project.folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuning", "search", *given], stdout=file, stderr=subprocess.STDOUT
        )
    for _ in range(1200):
        if "trial 1 (" in log.read_text() or process.poll() is not None:
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left_by_kill = folders_of(process.pid)
    assert "trial 1 (" in log.read_text(), log.read_text()

    done = search(project, *given[len(given_to(project)) :])

    client = MlflowClient(project.uri)
    assert done.exit_code == 0, done.output
    assert re.search(r"tried again: (0, )?1\b", done.output)  # the first may have waited
    assert re.search(r"^controls  [0-2], as many as fit .*at least 3 are needed", done.output, re.MULTILINE)
    states = [run.data.tags.get("sbert_prune.trial_state", run.info.status) for run in runs_of(client, "trial")]
    recorded = runs_of(client, "trial")
    assert client.search_runs(["0"], "attributes.status = 'RUNNING'") == []
    assert 1 <= states.count("KILLED") <= 2
    (journal,) = (project.folder / ".sbert-prune" / "search").glob("*.journal")
    study = open_study(journal.stem, None, Aim(), "tpe", 0)
    assert sum(one.counts for one in stored_trials(study)) == 4
    assert len(recorded) == len([one for one in stored_trials(study) if one.state.name != "WAITING"])
    assert len(left_by_kill) == 2
    assert folders_of(process.pid) == []


@pytest.mark.slow
def test_workers_share_the_trials_and_none_is_trained_twice_and_a_failure_stops_nothing(project):
    axes = "vocabulary=40/all,sts_learning_rate"  # 40 pieces are fewer than have to stay
    done = search(
        project,
        "--layers",
        "1",
        "--trials",
        "7",
        "--workers",
        "2",
        "--screening",
        "none",
        "--finalists",
        "1",
        "--space",
        axes,
        "--controls",
        "5",
    )

    assert done.exit_code == 0, done.output
    trials = runs_of(MlflowClient(project.uri), "trial")
    trained = [run for run in trials if run.data.tags.get("sbert_prune.trial_state") in {"COMPLETE", "FAIL"}]
    digests = [
        run.data.tags["sbert_prune.recipe_digest"]
        for run in trained
        if "not trained again" not in run.data.tags.get("sbert_prune.reason", "")
    ]
    assert len(digests) == len(set(digests)) >= 5
    failed = [run for run in trials if run.info.status == "FAILED"]
    references = [
        version
        for version in versions(MlflowClient(project.uri)).values()
        if version.tags["sbert_prune.role"] == "reference"
    ]
    assert len(references) == 1  # of the search: its answer is held against that one, whatever its learning rate
    assert all("vocabulary=40" in run.data.tags["sbert_prune.error"] for run in failed)
    assert len(failed) >= 1
    verified = CliRunner().invoke(pipelines_main, ["verify", "--registered-model", "sbert-small"])
    assert verified.exit_code == 0, verified.output


@pytest.mark.slow
def test_two_searches_on_one_study_train_as_many_trials_as_asked_for(project):
    short = ("--phases", "sts", "--sts-max-rows", "16", "--seeds", "42,43")
    given = ("search", *given_to(project), *short, "--layers", "1", "--trials", "3", "--controls", "0", *QUICK)

    commands = [start(project.folder, *given, module="tuning") for _ in range(2)]

    assert [command.end() for command in commands] == [0, 0], commands[0].output + commands[1].output
    (journal,) = (project.folder / ".sbert-prune" / "search").glob("*.journal")
    trials = stored_trials(open_study(journal.stem, None, Aim(), "tpe", 0))
    client = MlflowClient(project.uri)
    assert sum(trial.counts for trial in trials) == 3
    assert len({trial.attribute(DIGEST) for trial in trials if trial.counts}) == 3
    assert all(trial.state.is_finished() for trial in trials)
    assert client.search_runs(["0"], "attributes.status = 'RUNNING'") == []
    assert client.get_model_version_by_alias("sbert-small", "challenger").tags["sbert_prune.role"] == "variant"


@pytest.mark.slow
def test_the_front_of_score_against_size_is_kept(project):
    done = search(project, "--layers", "1..3", "--trials", "5", "--against", "size_mb", "--keep-models", "0", *QUICK)

    assert done.exit_code == 0, done.output
    client = MlflowClient(project.uri)
    found = [
        (
            version.tags.get("sbert_prune.bytes") != "let go",
            float(version.tags["sts_dev/spearman_cosine"]),
            round(float(version.tags["size/disk_mb"]), 2),
        )
        for version in versions(client).values()
        if version.tags["sbert_prune.role"] != "reference"
    ]
    for keeps, score, size in found:
        is_beaten = any(
            other >= score and others <= size and (other, others) != (score, size) for _, other, others in found
        )
        assert keeps == (not is_beaten)


@pytest.mark.slow
def test_a_space_that_is_exhausted_ends_the_search(project):
    done = search(
        project, "--layers", "1", "--trials", "40", "--screening", "none", "--finalists", "1", "--space", "layers"
    )

    assert done.exit_code == 0, done.output
    assert "trials end early" in done.output


@pytest.mark.slow
def test_a_plan_lists_what_would_be_trained_and_writes_nothing(untouched):
    before = sorted(untouched.folder.rglob("*"))

    planned = search(untouched, "--layers", "2", "--trials", "12", "--plan", "true")

    assert planned.exit_code == 0, planned.output
    for part in (
        "a new one",
        "the reference: ",
        "shared weights: ",
        "12 trials: ",
        "2 controls at most, to measure the benefit (the benefit is not measured with fewer than 3): ",
        "3 trainings of finalists: ",
        "at most ",
    ):
        assert part in planned.output
    assert sorted(untouched.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--layers", "7"), "layers=7: the encoder has 6 layers"),
        (("--layers", "some"), "write how many layers to keep"),
        (("--trials", "0"), "trials=0: write a number of at least 1"),
        (("--trials", "1.5"), "trials=1.5: write a whole number"),
        (("--sampler", "tpi"), "sampler=tpi: there is no such sampler"),
        (("--screening", "all"), "screening=all"),
        (("--against", "quality"), "against=quality"),
        (("--space", "colour"), "space: colour cannot vary"),
        (("--seeds", "1"), "seeds=1"),
        (("--controls", "-1"), "controls=-1: write a number of at least 0"),
        (("--controls", "2.5"), "controls=2.5: write a whole number"),
        (("--sampler", "cmaes", "--against", "size_mb"), "cmaes supports one objective"),
        (("--max-size-mb", "1", "--layers", "2"), "max_size_mb=1: 2 layers of /"),
        (("--storage", "postgresql://me:secret@host/name"), "PGPASSWORD"),
    ],
)
def test_a_mistake_is_reported_and_nothing_is_written(project, given, message):
    before = sorted(project.folder.rglob("*"))

    done = search(project, *given)

    assert done.exit_code == 2
    assert message in done.output
    assert "secret" not in done.output
    assert sorted(project.folder.rglob("*")) == before
