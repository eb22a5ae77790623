"""Run `python -m pipelines COMMAND`; the module of a command is imported only when it is called."""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from sbert_prune import __version__
from sbert_prune.errors import SbertPruneError
from sbert_prune.system.command_line import PROGRAM
from sbert_prune.system.launch import complete_identity, rank_and_size, started_by_torchrun


@dataclass(frozen=True)
class Row:
    """A command: the module that defines it, what it does, and whether it leaves a run in MLflow."""

    module: str
    summary: str
    leaves_run: bool = True


COMMANDS = {
    "doctor": Row(
        "pipelines.commands.doctor",
        "Check that machine, store, base and data are ready for a recipe.",
        leaves_run=False,
    ),
    "recipes": Row("pipelines.commands.recipes", "List the recipes, or show one with every value.", leaves_run=False),
    "full": Row("pipelines.commands.full", "Prune, train NLI, train STS, evaluate, register: one variant."),
    "sweep": Row("pipelines.commands.sweep", "Make a variant of every depth: quality against size and speed."),
    "prune": Row("pipelines.commands.prune", "Cut a base to the layers to keep."),
    "train_nli": Row("pipelines.commands.train", "First phase: natural language inference."),
    "train_sts": Row("pipelines.commands.train", "Second phase: semantic textual similarity."),
    "distil": Row("pipelines.commands.train", "Train on a teacher's embeddings of sentences."),
    "evaluate": Row(
        "pipelines.commands.evaluate", "Evaluate any sentence model: STS, classification, search, robustness, speed."
    ),
    "compare": Row("pipelines.commands.compare", "Evaluate several models on the same rows."),
    "register": Row("pipelines.commands.register", "Register a sentence model as a version."),
    "promote": Row("pipelines.commands.promote", "Move a stage and its alias to a version that is good enough."),
    "rollback": Row("pipelines.commands.promote", "Undo the last promotion to Production."),
    "verify": Row(
        "pipelines.commands.verify",
        "Check every registered version against its files, runs and history.",
        leaves_run=False,
    ),
    "cleanup": Row("pipelines.commands.cleanup", "List what is no longer needed, and delete it on request."),
    "history": Row("pipelines.commands.promote", "List every promotion, refusal and rollback.", leaves_run=False),
}

PLANS = "sbert_prune.plan"
"""The key under which click's context holds whether a command only prints its plan."""


class Commands(click.Group):
    """A group that lists its commands without importing them; dashes and underscores are equivalent.

    Args:
        rows: Its commands, in the order in which they are used.
        options: click's own, such as `help`.
    """

    def __init__(self, rows: Mapping[str, Row], **options: Any) -> None:
        settings = {
            "token_normalize_func": lambda token: token.replace("_", "-"),
            "help_option_names": ["-h", "--help"],
        }
        super().__init__(context_settings=settings, **options)
        self.rows = rows
        click.version_option(__version__, prog_name=PROGRAM)(self)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return their names."""
        return list(self.rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the module of a command and return it; None if there is no such command."""
        name = cmd_name.replace("-", "_")
        if name not in self.rows:
            return None
        command: click.Command = getattr(import_module(self.rows[name].module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names. Raises UsageError, with the nearest name."""
        name = args[0].replace("-", "_")
        if name not in self.rows and not ctx.resilient_parsing:
            near = get_close_matches(name, self.rows, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint} The commands are {', '.join(self.rows)}.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the arguments name; give up the run that `mlflow run` opened if it leaves none."""
        try:
            return super().invoke(ctx)
        finally:
            name, plans = (ctx.invoked_subcommand or "").replace("-", "_"), ctx.meta.get(PLANS)
            if "MLFLOW_RUN_ID" in os.environ and name in self.rows and (plans or not self.rows[name].leaves_run):
                from sbert_prune.tracking.runs import give_up_launched_run

                give_up_launched_run(f"plan of {name}" if plans else name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write one line a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in self.rows.items()])


SUMMARY = "Prune a sentence encoder to the smallest one that is provably good enough."

main = Commands(COMMANDS, help=SUMMARY)


def run(group: click.Group = main, program: str = "python -m pipelines") -> None:
    """Run the command; where torchrun started several processes, the first runs it and the others are its workers.

    Args:
        group: The commands to choose from.
        program: How the user calls this program.
    """
    _make_streams_writable()
    complete_identity()
    try:
        rank, size = rank_and_size()
        if size > 1 and not started_by_torchrun():
            several = f"this is process {rank} of {size}, as WORLD_SIZE and RANK say"
            click.echo(f"{several}; to run alone: unset WORLD_SIZE RANK", err=True)
        if rank > 0:
            _work()
        elif size > 1:
            _lead(group, program)
        else:
            group(prog_name=program)
    except SbertPruneError as error:  # of a command, `Command` has printed it
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


def _make_streams_writable() -> None:
    """Write ? for what the output cannot represent, and to nowhere where a stream is closed."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            while (nowhere := os.open(os.devnull, os.O_RDWR)) < number:
                pass  # the streams before this one are closed as well
            setattr(sys, name, os.fdopen(nowhere, "w", encoding="utf-8"))
        elif isinstance(stream, TextIOWrapper) and stream.errors in {"strict", "surrogateescape"}:
            stream.reconfigure(errors="replace")


def _work() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the first process comes, a signal ends this one
    from pipelines.console import ENDING_SIGNALS
    from sbert_prune.training.distributed import join_group
    from sbert_prune.training.loop import run_worker

    join_group()
    for number in ENDING_SIGNALS:  # then it writes its checkpoint, and ends the others
        signal.signal(number, signal.SIG_IGN)
    run_worker()


def _lead(group: click.Group, program: str) -> None:
    try:
        group(prog_name=program)
    except SystemExit as exit_:
        if exit_.code not in {None, 0, 3}:
            raise  # the workers may be in the middle of a batch: torchrun ends them
        from sbert_prune.training.distributed import leave_group

        leave_group()
        raise


if __name__ == "__main__":
    run()
