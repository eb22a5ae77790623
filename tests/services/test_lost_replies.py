"""A server whose answers get lost: exactly one of everything is left, and no run is RUNNING."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.pipelines.made_versions import NAME
from tests.proxy import Loss
from tests.services.lost_replies import Cell, Laboratory, drawn, laboratory

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("laboratory")) as ready:
        yield ready


@pytest.mark.timeout(1200)
def test_forty_faults_leave_exactly_one_of_everything(made: Laboratory):
    """16 of what `register` creates, and a sample of all others; `python -m tests.services.lost_replies` tries all."""
    cells = drawn(made, {"full": 7, "register": 5, "promote": 5, "rollback": 4, "search": 3}, seed=21)
    assert len(cells) == 40

    problems = [problem for cell in cells if (problem := made.problem(cell))]

    assert not problems, "\n\n".join(problems)


def test_a_decision_that_is_recorded_is_applied_by_the_same_command(made: Laboratory):
    """Else the same command is run again, and the history tells of a second promotion."""
    made.undisturbed("promote")
    method, path = "GET", "/api/2.0/mlflow/model-versions/get"

    assert made.problem(Cell("promote", method, path, made.calls["promote"][method, path], "cut")) == ""


@pytest.mark.parametrize("loss", ["lost", "504", "repeated"])
def test_the_twin_of_the_run_that_mlflow_run_opened_is_closed(made: Laboratory, loss: Loss, tmp_path: Path):
    made.begin_with("promoted")
    client = MlflowClient(made.proxy.address)
    tags = {"mlflow.project.entryPoint": "rollback", "mlflow.user": "ann", "mlflow.source.name": "."}
    made.lose(Cell("", "POST", "/api/2.0/mlflow/runs/create", 1, loss))
    launched = client.create_run("0", tags=tags).info.run_id
    client.log_param(launched, "registered_model", NAME)
    twins = client.search_runs(["0"], "attributes.status = 'RUNNING'")

    result = made.call("rollback", tmp_path, MLFLOW_RUN_ID=launched)

    assert result.exit_code == 0, result.output
    assert len(twins) == 2
    launched_by_mlflow = client.search_runs(["0"], "tags.mlflow.project.entryPoint = 'rollback'")
    assert [(run.info.run_id, run.info.status) for run in launched_by_mlflow] == [(launched, "FINISHED")]
    assert made.left()["open runs"] == []


def test_a_model_whose_creation_was_never_answered_is_deleted_by_the_next_command(made: Laboratory, tmp_path: Path):
    made.begin_with("empty")
    asked: list[str] = []

    def lose_models(_method: str, path: str) -> Loss | None:
        """Answer with 504 what creates a logged model, and from then on what looks for one."""
        asked.append(path)
        is_created = any(before.endswith("/logged-models") for before in asked)
        return "504" if is_created and path.endswith(("/logged-models", "/logged-models/search")) else None

    made.proxy.loss = lose_models
    failed = made.call("register", tmp_path)
    pending = made.left()["models"]
    made.proxy.loss = lambda _method, _path: None
    again = made.call("register", tmp_path)

    assert (failed.exit_code, again.exit_code) == (2, 0), failed.output + again.output
    assert pending == {("sbert-quickstart", "PENDING"): 3}
    assert made.left()["models"] == {("sbert-quickstart", "READY"): 1}
