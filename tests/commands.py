"""Start commands in separate processes quickly: they are forked from a process that has imported the libraries.

command = start(folder, "full", "--layers", "2")
command.wait_for("step train_nli")
command.kill()
assert command.end() == -9, command.output
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.disk import wait_for_no_disk
from tests.quick import be_quick_here

PRELOADED = ["tests.preloaded"]
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Started:
    """A command that was started, and the file with its output."""

    process: BaseProcess
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    @property
    def is_running(self) -> bool:
        return self.process.is_alive()

    def wait_for(self, sign: str | Callable[[], object], *, every_s: float = 0.01) -> None:
        """Wait until it prints `sign` or `sign()` is true, or until it ends."""
        is_met = sign if callable(sign) else lambda: sign in self.output
        deadline = time.monotonic() + _TIMEOUT_S
        while self.is_running and not is_met():
            assert time.monotonic() < deadline, self.output
            self.process.join(every_s)

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send(signal.SIGKILL)
        self.process.join()

    def end(self, *, within_s: float = _TIMEOUT_S) -> int:
        """Wait for its end, and return its exit status, or the negative number of the signal that ended it."""
        self.process.join(within_s)
        assert self.process.exitcode is not None, self.output
        return self.process.exitcode


def start(
    folder: Path,
    *arguments: str,
    module: str = "pipelines",
    without: str | None = None,
    prepare: Callable[[], None] = be_quick_here,
    **environment: str,
) -> Started:
    """Start `python -m MODULE ARGUMENTS` in a folder, with this process's environment and `environment`.

    Args:
        folder: The working folder.
        arguments: Command and options.
        module: The module to run.
        without: Variables whose names begin with this are left out.
        prepare: Called in the process first.
        environment: Further variables.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    handle, log = tempfile.mkstemp(
        prefix="command-", suffix=".log", dir=os.environ["XDG_CACHE_HOME"]
    )  # pytest's, see conftest
    os.close(handle)
    inherited = {name: value for name, value in os.environ.items() if without is None or not name.startswith(without)}
    options = {"folder": str(folder), "module": module, "arguments": arguments, "log": log, "prepare": prepare}
    process = context.Process(target=_run, kwargs=options | {"environment": inherited | environment})
    process.start()
    return Started(process, Path(log))


def _run(
    *,
    folder: str,
    module: str,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    log: str,
    prepare: Callable[[], None],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None
    printed = os.open(log, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(printed, stream)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    wait_for_no_disk()
    prepare()
    import_module(f"{module}.__main__").main(list(arguments), prog_name=f"python -m {module}")
