"""Helpers of tests of failures: a collapsed model, a run with one entry of each kind, a command that fails midway."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from mlflow import MlflowClient

from pipelines.__main__ import main
from pipelines.steps import evaluate
from sbert_prune.models.lineage import DataRecord
from sbert_prune.models.sentence import encoder_of, load_saved, with_pooling
from sbert_prune.models.sources import locate_base
from sbert_prune.tracking.runs import Run
from sbert_prune.tracking.spool import Outbox
from tests.pipelines.conftest import Project


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to a store that failed are repeated at once."""
    monkeypatch.setattr("sbert_prune.tracking.store.Outbox", partial(Outbox, pause_s=0.0))


def history(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, key))


def log_everything(run: Run, figure: Figure) -> None:
    """Log one entry of each kind."""
    run.log_params({"layers": "6"})
    run.log_metrics({"score": 0.5})
    run.log_series([(step, {"loss": 1 / step}) for step in range(1, 1501)])
    run.set_tags({"role": "variant"})
    run.log_data(DataRecord(name="train", source="rows.csv", digest="ab" * 32, rows=7, skipped=1), "training")
    run.log_json({"a": [1]}, "recipe.json")
    run.log_text("ü", "rows/skipped.txt")
    run.log_figure(figure, "variants.png")


def read_everything(client: MlflowClient, run_id: str) -> dict[str, object]:
    run = client.get_run(run_id)
    return {
        "status": run.info.status,
        "params": run.data.params,
        "score": run.data.metrics["score"],
        "loss": history(client, run_id, "loss"),
        "tag": run.data.tags["sbert_prune.role"],
        "inputs": [
            (entry.dataset.name, entry.dataset.digest, entry.tags[0].value) for entry in run.inputs.dataset_inputs
        ],
        "outputs": [output.model_id for output in run.outputs.model_outputs] if run.outputs else [],
        "artifacts": sorted(
            item.path for folder in ("", "rows") for item in client.list_artifacts(run_id, folder) if not item.is_dir
        ),
    }


def expected(outputs: list[str]) -> dict[str, object]:
    return {
        "status": "FINISHED",
        "params": {"layers": "6"},
        "score": 0.5,
        "loss": [(step, 1 / step) for step in range(1, 1501)],
        "tag": "variant",
        "inputs": [("train", "ab" * 8, "training")],
        "outputs": outputs,
        "artifacts": ["recipe.json", "rows/skipped.txt", "variants.png"],
    }


def collapsed(base: Path, folder: Path) -> Path:
    """Save a sentence model that gives the same embedding for every sentence."""
    model = with_pooling(load_saved(locate_base(str(base)).checkpoint), "mean", max_seq_length=32)
    with torch.no_grad():
        norm = encoder_of(model).encoder.layer[-1].output.LayerNorm
        norm.bias.fill_(0.5)
        norm.weight.zero_()
    model.save(str(folder))
    return folder


def evaluate_while(action: Callable[[], object], project: Project, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Run `evaluate`, and call an action while it measures speed."""
    measure = evaluate.measure_speed
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "measure_speed", lambda *arguments: (action(), measure(*arguments))[1])
        return CliRunner().invoke(main, ["evaluate", "--model", str(project.base), "--sts-data", str(project.sts)])


def check_what_came_late(away: Result, back: Result, client: MlflowClient, folder: Path) -> None:
    first, second = client.search_runs(["0"], "attributes.run_name = 'evaluate'", order_by=["attributes.start_time"])
    assert away.exit_code == 3, away.output
    where = folder / ".sbert-prune" / "spool"
    assert re.search(
        rf"Warning: \d+ entries not recorded yet: they are in {where}, and the next command here delivers them\n$",
        away.output,
    )
    assert "sts_test/spearman_cosine" in away.output
    assert back.exit_code == 0, back.output
    assert re.search(
        r"^\d+ entries that an earlier command could not record: delivered now$", back.output, re.MULTILINE
    )
    assert (first.info.status, second.info.status) == ("FINISHED", "FINISHED")
    assert first.data.metrics["sts_test/spearman_cosine"] == second.data.metrics["sts_test/spearman_cosine"]
    assert not (folder / ".sbert-prune").exists()
