"""Console output, exit status and signals of commands."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from pipelines.progress import left_text, note, print_lines, printed_s, shown
from sbert_prune.errors import RecipeError, RefusedError, SbertPruneError, UnrecordedError
from sbert_prune.system.command_line import command_line
from sbert_prune.system.folders import scratch_folder
from sbert_prune.tracking.secrets import without_password

if TYPE_CHECKING:
    from types import TracebackType

    from sbert_prune.training.setup import Progress

_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Environment variables that reduce the output of libraries; set only where the user has not set them."""

_LINE_INTERVAL_S = 10.0

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""Sent when the terminal is closed or the connection to the machine is lost. Windows has no such signal."""

TERMINAL_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))
"""What a terminal sends to all processes of a command: to the first one, and to those that it starts and ends."""

ENDING_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    *(getattr(signal, name) for name in ("SIGHUP", "SIGXCPU") if hasattr(signal, name)),
)
"""The signals on which a command writes its checkpoint, closes its runs and ends with 128 plus their number.

SIGXCPU comes from `ulimit -t` and from batch systems, some seconds before SIGKILL. SIGQUIT (ctrl-\\) is not among them:
it is the way to end at once a command that hangs, and the next command closes its runs.
"""


FIRST_HEADING, MORE_HEADING = "Options", "More options"
_SHORT_HELP = 16
"""A help of up to so many options has no further headings."""

AS_JSON = "sbert_prune.json"
"""The key under which click's context holds whether the result is printed as JSON."""


class Command(click.Command):
    """A command that answers a user's mistake with one paragraph and exit status 2, and closes its runs on a signal.

    It ends with exit status 3 where it has done its work but could not record all of it, and with 4 where a gate
    refused. `verify` ends with 5 on findings.
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that matter first, and the others of a long help under their headings."""
        sections: dict[str, list[tuple[str, str]]] = {FIRST_HEADING: [], MORE_HEADING: []}
        is_short = len(self.params) <= _SHORT_HELP
        for parameter in self.get_params(ctx):
            heading = FIRST_HEADING if is_short else getattr(parameter, "heading", FIRST_HEADING)
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
        if any(parameter.name == "recipe" for parameter in self.params):
            formatter.write_paragraph()
            formatter.write_text(f"Every value of a recipe: {command_line('recipes', name='NAME')}")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the parameters. Raises UsageError for one that the command does not have, with the nearest names."""
        try:
            return super().parse_args(ctx, self._with_values(args))
        except click.NoSuchOption as error:
            name = error.option_name.lstrip("-").replace("-", "_")
            near = get_close_matches(name, [str(parameter.name) for parameter in self.params])
            advice = (
                f"Did you mean {' or '.join(near)}?" if near else f"{ctx.command_path} --help lists its parameters."
            )
            raise click.UsageError(f"{name}: {self.name} has no such parameter. {advice}", ctx) from error

    def _with_values(self, args: list[str]) -> list[str]:
        """Return the arguments with `true` after each option that is true or false and has no value: `--plan`."""
        takes_arguments = any(isinstance(parameter, click.Argument) for parameter in self.params)
        booleans = {
            name for parameter in self.params if getattr(parameter, "is_boolean", False) for name in parameter.opts
        }
        completed: list[str] = []
        for argument, following in zip_longest(args, args[1:], fillvalue="--"):
            is_other = following not in {"true", "false"} if takes_arguments else following.startswith("-")
            bare = argument.replace("_", "-") in booleans and is_other
            completed += [argument, "true"] if bare else [argument]
        return completed

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and set its exit status."""
        prepare_process()
        try:
            with _scratch(), _printing_json() if ctx.meta.get(AS_JSON) else nullcontext(), shown():
                result = super().invoke(ctx)
            if _unrecorded:
                ctx.exit(3)
            return result
        except UnrecordedError as error:
            click.echo(f"Not recorded: {error}", err=True)
            ctx.exit(3)
        except SbertPruneError as error:
            refused = isinstance(error, RefusedError)
            click.echo(f"{'Refused' if refused else 'Error'}: {error}", err=True)
            ctx.exit(4 if refused else 2)
        except PermissionError as error:
            message = "this user may not read or write it. Change its permissions, or work elsewhere."
            click.echo(f"Error: {error.filename}: {message}", err=True)
            ctx.exit(2)
        finally:
            click.echo("".join(f"Warning: {line}\n" for line in _unrecorded), err=True, nl=False)


@contextmanager
def _printing_json() -> Iterator[None]:
    """Print what the command reports as one JSON object at its end, and everything else to standard error.

    A command that fails prints no object.
    """
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):
        try:
            yield
        except click.exceptions.Exit:  # done, with findings
            _print_facts(stdout)
            raise
    _print_facts(stdout)


def _print_facts(file: TextIO) -> None:
    unrecorded = {"unrecorded": _unrecorded} if _unrecorded else {}
    # JSON has no word for what is not a number.
    finite = json.loads(json.dumps({**_facts, **unrecorded}), parse_constant=lambda _: None)
    click.echo(json.dumps(finite), file=file)


@contextmanager
def _scratch() -> Iterator[None]:
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder())
            if not os.access(Path.home(), os.W_OK):  # matplotlib would remove a temporary folder when it is gone
                os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
        except OSError as error:
            raise RecipeError(
                f"There is no disk space for temporary files ({error.strerror}). "
                "Set TMPDIR to a folder on another disk."
            ) from error
        yield


def prepare_process() -> None:
    """Reduce the output of libraries, and turn signals into SystemExit, so that runs are closed."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    sys.excepthook = _print_bug
    # Where a store does not answer, these log a traceback; the error message of the command is one line.
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _signals.clear()
    _unrecorded.clear()
    _facts.clear()
    for number in ENDING_SIGNALS:
        if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores it
            signal.signal(number, _stop)


def _print_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an error that no command expects, without the secrets that a library may quote."""
    click.echo(without_password("".join(traceback.format_exception(kind, error, trace))), err=True, nl=False)


_signals: list[int] = []
"""The signals that this process has received."""


_unrecorded: list[str] = []
"""Messages about what could not be recorded."""


def report_unrecorded(line: str) -> None:
    """Print a warning at the end of the command about what could not be recorded; it then ends with exit status 3."""
    _unrecorded.append(line)


_facts: dict[str, Any] = {}
"""The result of the command, as `json` prints it."""


def report_facts(**facts: Any) -> None:
    """Add to the JSON object that a command with `json` prints: what its lines say, as values."""
    _facts.update(facts)


_deferring = False
"""Whether a phase is in training, which checks for signals itself between two optimizer steps."""


def _stop(number: int, _frame: object) -> None:
    _signals.append(number)
    if number == HANGUP:
        _leave_terminal()
    # A second signal, which MLflow's launcher sends, would interrupt the closing of the runs.
    if len(_signals) == 1 and not _deferring:
        exit_if_interrupted()


def _leave_terminal() -> None:
    """Write to nowhere instead of a terminal that has been closed: an error there would interrupt the closing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        try:
            os.ttyname(stream)
        except OSError as error:
            if error.errno != errno.ENOTTY:  # a file or a pipe stays
                os.dup2(nowhere, stream)
    os.close(nowhere)


@contextmanager
def deferring_signals() -> Iterator[None]:
    """Defer signals until `exit_if_interrupted` is called: after an optimizer step and its checkpoint."""
    global _deferring  # noqa: PLW0603 - signal handlers are global
    _deferring = True
    try:
        yield
    finally:
        _deferring = False


def exit_if_interrupted() -> None:
    """Exit if a signal has been received.

    Called between steps and while training: SystemExit is lost where the signal arrives in a destructor, or in a
    library that catches every exception, and the command would continue.
    """
    if _signals:
        sys.exit(128 + _signals[0])


def silence_libraries() -> None:
    """Silence loggers and progress bars of heavy libraries; commands call it once they import those."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    for name in ("alembic", "mlflow.store", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.WARNING)


def warn_if_busy() -> None:
    """Print a hint when other programs use the cores: threads that wait for each other then take many times as long."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > cores and "OMP_NUM_THREADS" not in os.environ:
        echo(
            f"this machine is busy (load {load:.1f} on {cores} cores): "
            "OMP_NUM_THREADS=1 in front of the command may be faster"
        )


def echo(*lines: str) -> None:
    """Print lines for the user."""
    print_lines(*lines)


@contextmanager
def phase_progress(label: str) -> Iterator[Any]:
    """Show the progress of a phase: beside the bar on a terminal, in a log as a line every few seconds.

    Yields:
        A function that takes a `Progress`.
    """
    began = time.monotonic()
    is_terminal = sys.stdout.isatty()

    def report(progress: Progress) -> None:
        step, steps = progress.optimizer_step, progress.num_optimizer_steps
        loss = f"loss {progress.loss:.4f}, {progress.sentences_per_s:,.0f} sentences/s"
        dev = "" if progress.dev_score is None else f", dev {progress.dev_score:.4f}"
        note(f"{loss}{dev}")
        if step == steps or (not is_terminal and (dev or printed_s() >= _LINE_INTERVAL_S)):
            ending = f"{time.monotonic() - began:.0f} s" if step == steps else left_text()
            echo(f"{label}: optimizer step {step}/{steps}, {loss}{', ' * bool(ending)}{ending}{dev}")

    yield report
