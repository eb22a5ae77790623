"""`python -m pipelines COMMAND`; a command's module is imported only when it is called."""

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
    "doctor": Row("doctor", "Look whether machine, store and data are fit for a recipe."),
    "recipes": Row("recipes", "List the recipes, or show one with every value."),
    "full": Row("full", "Prune, train NLI, train STS, evaluate, register: one variant."),
    "sweep": Row("sweep", "Make a variant of every depth: quality against size and speed."),
    "prune": Row("prune", "Cut a base to the layers to keep."),
    "train_nli": Row("train", "First phase: natural language inference."),
    "train_sts": Row("train", "Second phase: semantic textual similarity."),
    "distil": Row("train", "Learn a teacher's embeddings, sentence by sentence."),
    "evaluate": Row("evaluate", "Judge any sentence model: STS, classification, search, robustness, speed."),
    "compare": Row("compare", "Judge several models on the same rows, side by side."),
    "register": Row("register", "Make a sentence model a version in the registry."),
    "promote": Row("promote", "Move a stage and its alias to a version that is good enough."),
    "rollback": Row("promote", "Take the last promotion to Production back."),
    "verify": Row("verify", "Look whether every registered version is what it says."),
    "cleanup": Row("cleanup", "Tell what nobody needs any more, and delete it where asked."),
    "history": Row("promote", "Tell every promotion, refusal and rollback."),
}


class Commands(click.Group):
    """Lists the commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Their names, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command's module; dashes do for underscores."""
        name = cmd_name.replace("-", "_")
        if name not in COMMANDS:
            near = get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {cmd_name!r}.{hint} The commands are {', '.join(COMMANDS)}.")
        command: click.Command = getattr(import_module(f"pipelines.commands.{COMMANDS[name].module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """One line a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
def main() -> None:
    """Prune a sentence encoder to the smallest one that is provably good enough."""


def run() -> None:
    """The command; or, where torchrun started several processes, all but the first help that one to train."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        main(prog_name="python -m pipelines")
    elif int(os.environ.get("RANK", "0")) > 0:
        for told in (signal.SIGTERM, signal.SIGINT):  # the first process writes its checkpoint, and takes the others along
            signal.signal(told, signal.SIG_IGN)
        from sbert_prune.training.loop import run_worker

        run_worker()
    else:
        _lead()


def _lead() -> None:
    try:
        main(prog_name="python -m pipelines")
    except SystemExit as end:
        if end.code not in {None, 0, 3}:
            raise  # the helpers may be in the middle of a batch: torchrun ends them
        from sbert_prune.training.distributed import leave_group

        leave_group()
        raise


if __name__ == "__main__":
    run()
