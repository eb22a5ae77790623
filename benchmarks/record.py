"""Seconds inside MLflow during `full`, in stores that have 1, 10 and 1,000 runs and versions already.

    python benchmarks/record.py -- --layers 6

The arguments behind `--` are those of `full`. Budgets: 3 % of the run, and 1 s a registered variant.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from pipelines.__main__ import main as command
from sbert_prune.tracking import logged_models as models

SPENT: dict[str, float] = {}
_inside = threading.local()


def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Add up the seconds of outermost calls on the main thread; calls on other threads delay nothing."""

    @functools.wraps(call)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if getattr(_inside, "now", False) or threading.current_thread() is not threading.main_thread():
            return call(*args, **kwargs)
        _inside.now = True
        started = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            SPENT[name] = SPENT.get(name, 0.0) + time.perf_counter() - started
            _inside.now = False

    return wrapped


def time_mlflow() -> None:
    """Time everything that reaches MLflow."""
    for name, method in list(vars(MlflowClient).items()):
        if callable(method) and not name.startswith("_"):
            setattr(MlflowClient, name, timed(name, method))
    mlflow.sentence_transformers.save_model = timed("save_model", mlflow.sentence_transformers.save_model)
    mlflow.artifacts.download_artifacts = timed("download_artifacts", mlflow.artifacts.download_artifacts)
    models.get_artifact_repository = timed("get_artifact_repository", models.get_artifact_repository)


def fill(uri: str, number: int, name: str) -> None:
    """Create runs and versions as `full` does, without bytes."""
    mlflow.set_tracking_uri(uri)  # the registry finds the logged models by it
    client = MlflowClient(uri)
    client.create_registered_model(name)
    for place in range(number):
        run = client.create_run("0", run_name=f"full {place}", tags={"sbert_prune.step": "full"})
        metrics = [Metric(f"sts/metric_{index}", index / 100, 0, 0) for index in range(80)]
        client.log_batch(run.info.run_id, metrics, [Param(f"recipe.{index}", str(index)) for index in range(60)])
        client.set_terminated(run.info.run_id)
        logged = client.create_logged_model("0", "model", run.info.run_id)
        tags = {f"sbert_prune.tag_{index}": str(index) for index in range(25)} | {
            f"sts/metric_{index}": "0.5" for index in range(60)
        }
        client.create_model_version(name, f"models:/{logged.model_id}", run.info.run_id, tags=tags)


@click.command()
@click.argument("arguments", nargs=-1)
def main(arguments: tuple[str, ...]) -> None:
    """Run `full` in each store, and print the seconds inside MLflow."""
    time_mlflow()
    for number in (1, 10, 1000):
        with TemporaryDirectory() as folder, chdir(folder):
            uri = f"sqlite:///{folder}/mlflow.db"
            os.environ["MLFLOW_TRACKING_URI"] = uri
            fill(uri, number, "sbert-quickstart")
            SPENT.clear()
            started = time.perf_counter()
            command(["full", *arguments, "--force", "true"], standalone_mode=False)
            whole = time.perf_counter() - started
        recorded = sum(SPENT.values())
        most = ", ".join(
            f"{name} {seconds:.2f}" for name, seconds in sorted(SPENT.items(), key=lambda item: -item[1])[:6]
        )
        print(
            f"RECORD {number:>5} runs: {recorded:.2f} of {whole:.1f} s, {recorded / whole:.1%} (budget 3 %), "
            f"{recorded / 2:.2f} s for each of 2 versions (budget 1 s); most: {most}",
            flush=True,
        )


if __name__ == "__main__":
    main()
