"""Commands on a server whose answers get lost: what each asks of it, and what it leaves.

    python -m tests.services.lost_replies [COMMAND...]

tries every fault at the first and the last call of each method and path, and prints each and how many were survived.
"""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from click.testing import Result
from mlflow import MlflowClient
from pytest import MonkeyPatch  # noqa: PT013 - the type alone

from sbert_prune.registry.history import parse
from tests.in_process import call
from tests.pipelines.conftest import Project, copy_project, fill_project
from tests.pipelines.made_versions import NAME, add_version, done
from tests.proxy import Loss, Proxy, proxy_to
from tests.quick import be_quick
from tests.services.killable import Server

LOSSES: tuple[Loss, ...] = get_args(Loss)
_QUICK = {
    "MLFLOW_EXPERIMENT_NAME": "Default",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
_SMALL = ("--nli-max-rows", "16", "--sts-epochs", "1", "--robustness", "0", "--precision", "float32")


@dataclass(frozen=True)
class Tried:
    """A command that is tried.

    Attributes:
        begin: The store that it begins with.
        arguments: Its options, given the project.
        module: The package that has it.
    """

    begin: str
    arguments: Callable[[Project], tuple[str, ...]]
    module: str = "pipelines"


_SEARCH = ("--layers", "2", "--trials", "2", "--space", "layers", "--screening", "untrained", "--finalists", "1")
COMMANDS = {
    "full": Tried("judged", lambda project: ("--layers", "1", *_SMALL, *project.given)),
    "register": Tried("empty", lambda project: ("--model", str(project.base))),
    "promote": Tried(
        "promoted", lambda _: ("--registered-model", NAME, "--version", "3", "--force", "true", "--reason", "test")
    ),
    "rollback": Tried("promoted", lambda _: ("--registered-model", NAME, "--reason", "test")),
    "search": Tried("judged", lambda project: (*_SEARCH, "--controls", "0", *_SMALL, *project.given), "tuning"),
}


@dataclass(frozen=True, order=True)
class Cell:
    """One fault: of the `number`th call, counted from 1, of a method and path, by a command."""

    command: str
    method: str
    path: str
    number: int
    loss: Loss


_creates = re.compile(r"/(create|logged-models)$").search


@dataclass
class Laboratory:
    """A server behind a proxy, stores to begin with, and what each command does undisturbed.

    Attributes:
        folder: Of the server.
        project: A small base and its data.
        proxy: What the commands talk to.
        expected: What each command leaves undisturbed, once it was run.
        calls: How often it calls each method and path.
    """

    folder: Path
    project: Project
    proxy: Proxy
    expected: dict[str, dict[str, object]] = field(default_factory=dict)
    calls: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def keep(self, name: str) -> None:
        """Keep the server's store under a name."""
        kept = self.folder / "kept" / name
        shutil.copytree(self.folder / "mlartifacts", kept, dirs_exist_ok=True)
        _copy_database(self.folder / "server.db", kept / "server.db")

    def begin_with(self, name: str) -> None:
        """Give the server a store that was kept."""
        kept, artifacts = self.folder / "kept" / name, self.folder / "mlartifacts"
        shutil.rmtree(artifacts, ignore_errors=True)
        shutil.copytree(kept, artifacts, ignore=shutil.ignore_patterns("server.db"))
        _copy_database(kept / "server.db", self.folder / "server.db")

    def run(self, command: str) -> tuple[Result, dict[str, object]]:
        """Run a command on the store that it begins with; run it again if it says that something is not recorded."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            result = self.call(command, Path(folder))
            is_first = result.exit_code == 0
            if result.exit_code in {2, 3}:
                result = self.call(command, Path(folder))
        left = self.left()
        return result, left if is_first else {key: value for key, value in left.items() if key != "ended runs"}

    def call(self, command: str, folder: Path, **environment: str) -> Result:
        """Call a command once, in a folder."""
        tried = COMMANDS[command]
        settings = {**_QUICK, "MLFLOW_TRACKING_URI": self.proxy.address, **environment}
        return call(folder, command, *tried.arguments(self.project), module=tried.module, **settings)

    def left(self) -> dict[str, object]:
        """Return what users see in the store."""
        client = MlflowClient(f"sqlite:///{self.folder / 'server.db'}")
        runs, models = client.search_runs(["0"]), client.search_logged_models(["0"])
        registered = client.search_registered_models()
        versions = client.search_model_versions()
        return {
            "ended runs": sorted((run.info.run_name, run.info.status) for run in runs),
            "open runs": [run.info.run_name for run in runs if run.info.status == "RUNNING"],
            "requests": max(Counter(run.data.tags.get("sbert_prune.request_id", run) for run in runs).values()),
            "models": Counter((model.name, str(model.status)) for model in models),
            "versions of models": sorted(model.tags.get("mlflow.modelVersions", "") for model in models),
            "files of models": len({path.parent for path in self.folder.glob("mlartifacts/0/models/*/artifacts/*")}),
            "aliases": {model.name: model.aliases for model in registered},
            "history": {
                model.name: [
                    (event.what, event.stage, event.version)
                    for key in sorted(model.tags)
                    if (event := parse(model.tags[key])) is not None
                ]
                for model in registered
            },
            "versions": sorted(
                (version.name, version.version, version.current_stage, sorted(version.tags)) for version in versions
            ),
        }

    def undisturbed(self, command: str) -> None:
        """Learn what a command asks and leaves."""
        seen: Counter[tuple[str, str]] = Counter()
        self.begin_with(COMMANDS[command].begin)
        self.proxy.loss = lambda method, path: seen.update([(method, kind_of(path))])
        result, left = self.run(command)
        assert result.exit_code == 0, result.output
        self.calls[command], self.expected[command] = seen, left

    def cells(self, command: str) -> list[Cell]:
        """Return all faults of a command."""
        return [
            Cell(command, method, path, number, loss)
            for (method, path), count in sorted(self.calls[command].items())
            for number in sorted({1, count})
            for loss in LOSSES
        ]

    def lose(self, cell: Cell) -> None:
        """Make a fault happen to what is asked from now on."""
        seen = 0

        def lose(method: str, path: str) -> Loss | None:
            nonlocal seen
            if (method, kind_of(path)) != (cell.method, cell.path):
                return None
            seen += 1
            return cell.loss if seen == cell.number else None

        self.proxy.loss = lose

    def problem(self, cell: Cell) -> str:
        """Make a fault happen, and return what is wrong afterwards; an empty string for nothing."""
        self.begin_with(COMMANDS[cell.command].begin)
        self.lose(cell)
        result, left = self.run(cell.command)
        self.proxy.loss = lambda _method, _path: None
        if result.exit_code != 0:
            return f"{cell}: exit status {result.exit_code}\n{result.output}"
        expected = self.expected[cell.command]
        wrong = {key: (left[key], expected[key]) for key in left if left[key] != expected[key]}
        return f"{cell}: {wrong}\n{result.output}" if wrong else ""


def kind_of(path: str) -> str:
    """Return a path without ids: those of one kind are one."""
    path = re.sub(r"(m-)?[0-9a-f]{32}", "ID", path.partition("?")[0])
    return re.sub(r"(mlflow-artifacts/artifacts)/.*", r"\1/...", path)


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)  # also where a server has the target open


@contextmanager
def laboratory(folder: Path) -> Iterator[Laboratory]:
    """Start the server and fill the stores that the commands begin with."""
    (folder / "made").mkdir()
    (folder / "mlartifacts").mkdir()
    fill_project(folder / "made", depth=4)
    project = copy_project(folder / "made", folder / "project")
    server = Server(folder)
    server.start()
    try:
        with proxy_to(server.port) as proxy, MonkeyPatch.context() as patch:
            be_quick(patch)
            made = Laboratory(folder, project, proxy)
            patch.chdir(folder)
            patch.setenv("MLFLOW_TRACKING_URI", server.address)
            made.keep("empty")
            for noise, role in ((0.05, "reference"), (0.051, "variant"), (0.052, "variant")):
                add_version(noise=noise, size=20, role=role)
            for version in ("1", "2"):
                done("promote", "--version", version, "--force", "true", "--reason", "test")
            made.keep("promoted")
            made.begin_with("empty")
            full = call(folder, "full", "--layers", "3", *_SMALL, *project.given, MLFLOW_TRACKING_URI=server.address)
            assert full.exit_code == 0, full.output
            made.keep("judged")
            yield made
    finally:
        server.kill()


def _main(commands: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, laboratory(Path(folder)) as made:
        for command in commands or COMMANDS:
            made.undisturbed(command)
            cells = made.cells(command)
            survived = 0
            for number, cell in enumerate(cells, 1):
                problem = made.problem(cell)
                survived += not problem
                print(f"{number} of {len(cells)}: {problem or f'{cell}: survived'}", flush=True)
            print(f"{command}: {len(cells)} tried, {survived} survived", flush=True)


def drawn(made: Laboratory, counts: Mapping[str, int], seed: int) -> list[Cell]:
    """Return the faults of what `register` creates, and a sample of the others: so many of each command."""
    draw, cells = random.Random(seed), []
    for command, count in counts.items():
        made.undisturbed(command)
        possible = made.cells(command)
        creating = [cell for cell in possible if command == "register" and _creates(cell.path)]
        cells += creating + draw.sample([cell for cell in possible if cell not in creating], count)
    return cells


if __name__ == "__main__":
    _main(sys.argv[1:])
