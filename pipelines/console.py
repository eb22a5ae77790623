"""What a command says to the person at the terminal, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from sbert_prune.errors import RecipeError, RefusedError, SbertPruneError, UnrecordedError
from sbert_prune.system.folders import scratch_folder

if TYPE_CHECKING:
    from sbert_prune.training.setup import Progress

_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Set for a command's own process, and only where the user has not: our lines are the ones worth reading."""

_PLAIN_EVERY_S = 10.0


class Command(click.Command):
    """A command whose mistakes by the user end in one paragraph and exit status 2, and whose signals end its runs.

    It ends with exit status 3 where it has done its work but could not record all of it, and with 4 where a gate refused. `verify` ends
    with 5 on findings.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        prepare_process()
        try:
            with _scratch():
                done = super().invoke(ctx)
            if _unrecorded:
                ctx.exit(3)
            return done
        except UnrecordedError as error:
            click.echo(f"Not recorded: {error}", err=True)
            ctx.exit(3)
        except SbertPruneError as error:
            refused = isinstance(error, RefusedError)
            click.echo(f"{'Refused' if refused else 'Error'}: {error}", err=True)
            ctx.exit(4 if refused else 2)
        except PermissionError as error:
            click.echo(f"Error: {error.filename}: this user may not read or write it. Change its permissions, or work elsewhere.", err=True)
            ctx.exit(2)
        finally:
            click.echo("".join(f"Warning: {line}\n" for line in _unrecorded), err=True, nl=False)


@contextmanager
def _scratch() -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(scratch_folder())
        except OSError as error:
            raise RecipeError(f"There is no room for temporary files ({error.strerror}). Set TMPDIR to a folder that has some.") from error
        yield


def prepare_process() -> None:
    """Quieten the libraries, and turn signals into an exit, so that runs are closed on the way out."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    _signals.clear()
    _unrecorded.clear()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)


_signals: list[int] = []
"""The signals that this process was sent."""


_unrecorded: list[str] = []
"""What could not be recorded, in words."""


def report_unrecorded(line: str) -> None:
    """Say at the very end that something could not be recorded; the command then ends with exit status 3."""
    _unrecorded.append(line)


_waiting = False
"""Whether a phase is in training, which asks for signals itself, between two optimizer steps."""


def _stop(number: int, _frame: object) -> None:
    _signals.append(number)
    # A second one, as MLflow's launcher sends it, would interrupt the closing of the runs.
    if len(_signals) == 1 and not _waiting:
        exit_if_interrupted()


@contextmanager
def deferring_signals() -> Iterator[None]:
    """Signals end nothing in here until `exit_if_interrupted` is asked: an optimizer step is done whole, and a checkpoint follows it."""
    global _waiting  # noqa: PLW0603 - signals are the process's
    _waiting = True
    try:
        yield
    finally:
        _waiting = False


def exit_if_interrupted() -> None:
    """Exit when a signal has asked for it.

    Requested again between steps and while training: where the signal came in a destructor or in a library that catches everything, the
    first exit was swallowed, and the command would go on as if nobody had spoken.
    """
    if _signals:
        sys.exit(128 + _signals[0])


def silence_libraries() -> None:
    """Silence what only an import makes reachable; called by commands once they import the heavy parts."""
    import logging

    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    for name in ("alembic", "mlflow.store", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool"):  # a store that does not answer: ours is one line, theirs a traceback
        logging.getLogger(name).setLevel(logging.CRITICAL)


def warn_if_busy() -> None:
    """Say so when other programs use the cores: threads that wait for each other then take many times as long."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > cores and "OMP_NUM_THREADS" not in os.environ:
        echo(f"this machine is busy (load {load:.1f} on {cores} cores): OMP_NUM_THREADS=1 in front of the command may be faster")


def echo(*lines: str) -> None:
    """Print lines for the user."""
    for line in lines:
        click.echo(line)


@contextmanager
def phase_progress(label: str) -> Iterator[Any]:
    """Show a phase: a bar with rate and time left on a terminal, a line now and then elsewhere. Yields a Report."""
    if not sys.stdout.isatty():
        yield _plain_reporter(label)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns) as bar:
        task = bar.add_task(label, total=None, note="")

        def report(progress: Progress) -> None:
            note = f"loss {progress.loss:.4f}, {progress.sentences_per_s:,.0f} sentences/s{_dev(progress)}"
            bar.update(task, total=progress.num_optimizer_steps, completed=progress.optimizer_step, note=note)

        yield report


def _plain_reporter(label: str) -> Any:
    began = shown = told = time.monotonic()
    told_step = 0

    def report(progress: Progress) -> None:
        nonlocal shown, told, told_step
        now, step, steps = time.monotonic(), progress.optimizer_step, progress.num_optimizer_steps
        left = (now - told) / (step - told_step) * (steps - step)  # by the last steps: what came before them, a teacher say, is no measure
        told, told_step = now, step
        if step == steps or progress.dev_score is not None or now - shown >= _PLAIN_EVERY_S:
            shown = now
            ending = f"{now - began:.0f} s" if step == steps else f"{left:.0f} s left"
            echo(
                f"{label}: optimizer step {step}/{steps}, loss {progress.loss:.4f}, "
                f"{progress.sentences_per_s:,.0f} sentences/s, {ending}{_dev(progress)}"
            )

    return report


def _dev(progress: Progress) -> str:
    return "" if progress.dev_score is None else f", dev {progress.dev_score:.4f}"
