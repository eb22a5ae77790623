"""The README's quickstart, made once: a variant of six layers by `mlflow run`, one of three, and a promotion."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.stores import STORE, copy_store, made_once

ROOT = Path(__file__).parents[1]
NAME = "sbert-quickstart"
_HOW = "drop-alternate nli+distil+sts s42"
SIX, THREE = f"full L6 {_HOW}", f"full L3 {_HOW}"
"""The names of the two commands' runs."""


@dataclass(frozen=True)
class Quickstart:
    """A copy of that store. output: what `mlflow run` printed."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / STORE}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    @property
    def experiment_id(self) -> str:
        """Of the experiment of both commands."""
        return self.client.get_experiment_by_name("quickstart").experiment_id

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()


def make_quickstart(folder: Path) -> None:
    """Run the commands of the README, from a folder that is not the project's."""
    bin_folder = str(Path(sys.executable).parent)
    launched = [f"{bin_folder}/mlflow", "run", str(ROOT), "-e", "full", "-P", "layers=6", "--env-manager", "local"]
    launched += ["--experiment-name", "quickstart"]
    (folder / "output.txt").write_text(_done(folder, launched))
    command = [sys.executable, "-m", "pipelines"]
    _done(folder, [*command, "full", "--layers", "3", "--distil-epochs", "0.25"])
    _done(folder, [*command, "promote", "--registered-model", NAME, "--version", "2"])


def _done(folder: Path, command: list[str]) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / STORE}", "PYTHONPATH": str(ROOT)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=clean | settings | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Quickstart:
    made = made_once(tmp_path_factory, "quickstart", make_quickstart)
    folder = tmp_path_factory.mktemp("quickstart")
    copy_store(made, folder)
    return Quickstart(folder)
