"""The commands that messages name, spelled the way in which the running command was started."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

PROGRAM = "sbert-prune"
"""The console script."""

_IS_LAUNCHED = "MLFLOW_RUN_ID" in os.environ
"""Whether `mlflow run` started this process; the variable goes once its run is adopted."""


def is_console_script() -> bool:
    """Return whether this process, or the one that spawned it, was started by the console script."""
    return Path(sys.argv[0] if sys.argv else "").stem == PROGRAM


def _in_own_environment() -> bool:
    """Return whether `mlflow run` was told to use the user's environment, `--env-manager local`."""
    return _IS_LAUNCHED and not Path(sys.prefix).name.startswith("mlflow-")  # the names of those that it makes


def command_line(command: str, **parameters: object) -> str:
    """Return the shell command that runs a command with these parameters.

    Started by the console script, that is `sbert-prune promote --version 2`; otherwise
    `mlflow run . -e promote -P version=2`, since MLflow's launcher and `python -m pipelines` both run in a checkout. It
    ends with `--env-manager local` where the launcher was given that.

    Args:
        command: Name of the command, such as "promote".
        parameters: Its parameters; values are quoted for the shell where they have to be.
    """
    program = PROGRAM if is_console_script() else "mlflow run . -e"
    options = [_option(name, value) for name, value in parameters.items()]
    return " ".join((program, command, *options, *(["--env-manager local"] if _in_own_environment() else [])))


def _option(name: str, value: object) -> str:
    if is_console_script():
        return f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
    return f"-P {shlex.quote(f'{name}={value}')}"
