"""Two commands on one study in PostgreSQL share its trials, and none is trained twice."""

import subprocess
import sys

import pytest
from mlflow import MlflowClient

from tests.services.team_server import PASSWORD, postgres
from tuning.aim import Aim
from tuning.study import DIGEST, held, open_study

pytestmark = pytest.mark.service

GIVEN = ("--sts-epochs", "1", "--nli-max-rows", "40", "--robustness", "0", "--precision", "float32", "--registered-model", "sbert-small")
SEARCH = ("--layers", "2", "--trials", "6", "--screening", "none", "--finalists", "1", "--space", "layers", "--sampler", "random")


def test_two_commands_share_the_trials_of_a_study(tmp_path, monkeypatch, make_project):
    project = make_project(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.uri)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.chdir(project.folder)
    with postgres() as running:
        running.create("study")
        storage = f"postgresql+psycopg2://mlflow@127.0.0.1:{running.port}/study"
        command = [sys.executable, "-m", "tuning", "search", *project.given, *GIVEN, *SEARCH, "--storage", storage]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
        said = [process.communicate(timeout=900)[0] for process in started]
        (name,) = [row[0] for row in running.ask("study", "SELECT study_name FROM studies")]
        trials = held(open_study(str(name), storage, Aim(), "random", 0))

    assert [process.returncode for process in started] == [0, 0], "\n".join(said)
    counted = [one for one in trials if one.counts]
    assert len(counted) == 6
    assert len({one.say(DIGEST) for one in counted}) == 6
    client = MlflowClient(project.uri)
    assert client.search_runs(["0"], "attributes.status = 'RUNNING'") == []
    runs = client.search_runs(["0"], "tags.sbert_prune.step = 'trial'")
    assert len(runs) == len({run.data.tags["sbert_prune.trial"] for run in runs}) == len([one for one in trials if one.state.is_finished()])
    assert client.get_model_version_by_alias("sbert-small", "challenger")
    assert all(PASSWORD not in text for text in said)
