"""Run `python -m pipelines COMMAND`; the module of a command is imported only when it is called."""

import os
import signal
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

import click


@dataclass(frozen=True)
class Row:
    """A command: the module of `pipelines.commands` that defines it, and what it does."""

    module: str
    summary: str


COMMANDS = {
    "doctor": Row("doctor", "Check that machine, store, base and data are ready for a recipe."),
    "recipes": Row("recipes", "List the recipes, or show one with every value."),
    "full": Row("full", "Prune, train NLI, train STS, evaluate, register: one variant."),
    "sweep": Row("sweep", "Make a variant of every depth: quality against size and speed."),
    "prune": Row("prune", "Cut a base to the layers to keep."),
    "train_nli": Row("train", "First phase: natural language inference."),
    "train_sts": Row("train", "Second phase: semantic textual similarity."),
    "distil": Row("train", "Train on a teacher's embeddings of sentences."),
    "evaluate": Row("evaluate", "Evaluate any sentence model: STS, classification, search, robustness, speed."),
    "compare": Row("compare", "Evaluate several models on the same rows."),
    "register": Row("register", "Register a sentence model as a version."),
    "promote": Row("promote", "Move a stage and its alias to a version that is good enough."),
    "rollback": Row("promote", "Undo the last promotion to Production."),
    "verify": Row("verify", "Check every registered version against its files, runs and history."),
    "cleanup": Row("cleanup", "List what is no longer needed, and delete it on request."),
    "history": Row("promote", "List every promotion, refusal and rollback."),
}


class Commands(click.Group):
    """A group that lists its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return their names, in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return it; dashes and underscores in its name are equivalent."""
        name = cmd_name.replace("-", "_")
        if name not in COMMANDS:
            near = get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {cmd_name!r}.{hint} The commands are {', '.join(COMMANDS)}.")
        command: click.Command = getattr(import_module(f"pipelines.commands.{COMMANDS[name].module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write one line a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
def main() -> None:
    """Prune a sentence encoder to the smallest one that is provably good enough."""


def run() -> None:
    """Run the command; where torchrun started several processes, the first runs it and the others are its workers."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        main(prog_name="python -m pipelines")
    elif int(os.environ.get("RANK", "0")) > 0:
        for number in (signal.SIGTERM, signal.SIGINT):  # the first process writes its checkpoint, and ends the others
            signal.signal(number, signal.SIG_IGN)
        from sbert_prune.training.loop import run_worker

        run_worker()
    else:
        _lead()


def _lead() -> None:
    try:
        main(prog_name="python -m pipelines")
    except SystemExit as exit_:
        if exit_.code not in {None, 0, 3}:
            raise  # the workers may be in the middle of a batch: torchrun ends them
        from sbert_prune.training.distributed import leave_group

        leave_group()
        raise


if __name__ == "__main__":
    run()
