"""Where trials live: each in a process of its own, forked from one that has imported the libraries and done nothing else."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipelines.console import exit_if_interrupted
from sbert_prune.errors import TrainingError
from tuning.messages import Failed, RungScore, Trained
from tuning.trial import run_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    from tuning.messages import Task

_ASK_EVERY_S = 1.0  # for signals
_LAST_WORDS_S = 0.2  # who has said all leaves on its own
_GRACE_S = 5.0
_SHORT = "/tmp"  # names of sockets have 108 characters at most


@dataclass(frozen=True, eq=False)
class Worker:
    """One process, and the line to it."""

    process: ForkServerProcess
    line: Connection

    def answer(self, word: Any) -> None:
        """Say something to it. Who has ended meanwhile hears nothing, which its line tells when it is listened to."""
        with suppress(OSError):
            self.line.send(word)

    def end(self) -> None:
        """It is no longer wanted."""
        self.line.close()
        self.process.join(_LAST_WORDS_S)
        self.process.terminate()
        self.process.join(_GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def how_it_ended(self) -> str:
        """Why nothing more will come from it, for people."""
        self.process.join(_GRACE_S)
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            why = "; the system does so when memory runs out" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{why}"
        return f"its process ended with status {code} and without a word"


class WorkerPool:
    """Starts processes. The one that they are forked from never computes anything, so that no thread of it can be missing in them."""

    def __init__(self) -> None:
        _choose_place()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tuning.trial"])
        _start_server_ignoring_interrupts()
        self._children: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for child in list(self._children):
            self.end(child)

    def start(self, work: Callable[[Connection, Any], None], task: Any) -> Worker:
        """Let `work(line, task)` run in a process of its own."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, task), daemon=True)
        process.start()
        theirs.close()
        child = Worker(process, ours)
        self._children.append(child)
        return child

    def end(self, child: Worker) -> None:
        """The process is no longer wanted, or has said all."""
        self._children.remove(child)
        child.end()

    def ask(self, work: Callable[[Connection, Any], None], task: Any) -> Any:
        """What `work` sends first; None where its process ends without a word."""
        child = self.start(work, task)
        try:
            return next_message(child)
        finally:
            self.end(child)


def _choose_place() -> None:
    """Python keeps sockets in a folder of its own until it ends: not in our scratch folder, which goes before and has too long a name."""
    ours, tempfile.tempdir = tempfile.tempdir, _SHORT if Path(_SHORT).is_dir() else None
    try:
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = ours


def _start_server_ignoring_interrupts() -> None:
    """A terminal's ctrl-C reaches every process there is; ours are ended by the command, and have nothing to say about it."""
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, ours)


def next_message(child: Worker) -> Any:
    """What a process says next; None where it has ended without a word."""
    while not ready_workers([child]):
        pass
    try:
        return child.line.recv()
    except (EOFError, OSError):
        return None


def ready_workers(children: Sequence[Worker]) -> list[Worker]:
    """Those that have something to say, or have ended; none after a second. A signal ends the command here."""
    exit_if_interrupted()
    ready = wait([child.line for child in children], timeout=_ASK_EVERY_S)
    exit_if_interrupted()
    return [child for child in children if child.line in ready]


_GO_ON = True


def train_alone(nursery: WorkerPool, task: Task) -> Trained:
    """One training that nobody stops, to its end. Raises TrainingError where it fails."""
    child = nursery.start(run_trial, task)
    try:
        while isinstance(word := next_message(child), RungScore):
            child.answer(_GO_ON)
        if not isinstance(word, Trained):
            raise TrainingError(word.reason if isinstance(word, Failed) else child.how_it_ended())
        return word
    finally:
        nursery.end(child)
