"""Run `sbert-prune COMMAND`, or `python -m tuning COMMAND`: every command of the pipelines, and `search`."""

from sbert_prune.system.command_line import PROGRAM
from sbert_prune.system.launch import prefer_own_packages

prefer_own_packages()

from pipelines.__main__ import COMMANDS, SUMMARY, Commands, Row, run  # noqa: E402 - of a folder that has its own

_SEARCH = Row("tuning.search", "Let Optuna choose which layers to keep and how to train them.")
_COMPLETION = (
    "\b\nCompletion in bash, or with zsh_source or fish_source in another shell:\n"
    f'  eval "$(_SBERT_PRUNE_COMPLETE=bash_source {PROGRAM})"'
)

_BEFORE = list(COMMANDS).index("sweep") + 1
ALL_COMMANDS = dict([*list(COMMANDS.items())[:_BEFORE], ("search", _SEARCH), *list(COMMANDS.items())[_BEFORE:]])
"""`search` stands beside `sweep`."""

main = Commands(ALL_COMMANDS, help=SUMMARY, epilog=_COMPLETION)


def console_script() -> None:
    """Run a command of the console script `sbert-prune`."""
    run(main, PROGRAM)


if __name__ == "__main__":
    run(main, "python -m tuning")
