"""The processes of trials: each is forked from a server that has imported the libraries and done nothing else."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipelines.console import TERMINAL_SIGNALS, exit_if_interrupted
from sbert_prune.errors import TrainingError
from sbert_prune.system.folders import SHORT_FOLDER, folder_until_exit
from tuning.messages import CONTINUE, Failed, RungScore, Trained
from tuning.trial import run_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    from tuning.messages import Task

_POLL_S = 1.0  # how often signals are checked
_EXIT_S = 0.2  # a process that has sent its result exits by itself
_GRACE_S = 5.0


@dataclass(frozen=True, eq=False)
class Worker:
    """One process and the connection to it."""

    process: ForkServerProcess
    line: Connection

    def send(self, message: Any) -> None:
        """Send a message. A process that has ended does not receive it; the next read from its line shows that."""
        with suppress(OSError):
            self.line.send(message)

    def end(self) -> None:
        """End the process."""
        self.line.close()
        self.process.join(_EXIT_S)
        self.process.terminate()
        self.process.join(_GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def exit_reason(self) -> str:
        """Return why the process ended without a result, as a message for the user."""
        self.process.join(_GRACE_S)
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            why = "; the system does so when memory runs out" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{why}"
        return f"its process ended with status {code} and without a result"


class WorkerPool:
    """Starts processes.

    The server that they are forked from never computes anything, so none of its threads can be missing in them.
    """

    def __init__(self) -> None:
        _choose_socket_folder()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tuning.trial"])
        _start_server_ignoring_terminals()
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for worker in list(self._workers):
            self.end(worker)

    def start(self, work: Callable[[Connection, Any], None], task: Any) -> Worker:
        """Run `work(line, task)` in a process of its own."""
        parent_end, child_end = self._context.Pipe()
        process = self._context.Process(target=work, args=(child_end, task), daemon=True)
        process.start()
        child_end.close()
        worker = Worker(process, parent_end)
        self._workers.append(worker)
        return worker

    def end(self, worker: Worker) -> None:
        """End a process, whether or not it has sent its result."""
        self._workers.remove(worker)
        worker.end()

    def call(self, work: Callable[[Connection, Any], None], task: Any) -> Any:
        """Return what `work` sends first; None where its process ends without sending anything."""
        worker = self.start(work, task)
        try:
            return next_message(worker)
        finally:
            self.end(worker)


@cache
def _choose_socket_folder() -> None:
    """Let Python keep its sockets outside our scratch folder.

    It needs them until it ends: our scratch folder is removed before that, and its name is too long.
    """
    parent = SHORT_FOLDER if Path(SHORT_FOLDER).is_dir() else None
    scratch, tempfile.tempdir = tempfile.tempdir, folder_until_exit(parent)
    try:
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = scratch


def _start_server_ignoring_terminals() -> None:
    """Start the fork server so that what a terminal sends to every process does not end it."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in TERMINAL_SIGNALS}
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def next_message(worker: Worker) -> Any:
    """Return the next message of a process; None where it has ended without one."""
    while not ready_workers([worker]):
        pass
    try:
        return worker.line.recv()
    except (EOFError, OSError):
        return None


def ready_workers(workers: Sequence[Worker]) -> list[Worker]:
    """Return the workers that have sent a message or ended; none after a second. A signal ends the command here."""
    exit_if_interrupted()
    ready = wait([worker.line for worker in workers], timeout=_POLL_S)
    exit_if_interrupted()
    return [worker for worker in workers if worker.line in ready]


def train_to_end(pool: WorkerPool, task: Task) -> Trained:
    """Run one training that is never stopped. Raises TrainingError where it fails."""
    worker = pool.start(run_trial, task)
    try:
        while isinstance(message := next_message(worker), RungScore):
            worker.send(CONTINUE)
        if not isinstance(message, Trained):
            raise TrainingError(message.reason if isinstance(message, Failed) else worker.exit_reason())
        return message
    finally:
        pool.end(worker)
