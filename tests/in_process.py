"""Run commands in the process of the tests, whose libraries are imported already, and restore its state afterwards.

done = call(folder, "full", "--layers", "abc")
assert (done.exit_code, done.stdout) == (2, ""), done.stderr
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner, Result
from pytest import MonkeyPatch  # noqa: PT013 - nothing else of it

from pipelines.console import ENDING_SIGNALS

_STORE_OF_MLFLOW = "mlflow.tracking._tracking_service.utils._tracking_uri"
"""The variable that mlflow.set_tracking_uri sets."""


def call(folder: Path, *arguments: str, module: str = "pipelines", **environment: str) -> Result:
    """Run `python -m MODULE ARGUMENTS` in a folder, with no settings of MLflow other than those in `environment`."""
    main = import_module(f"{module}.__main__").main
    with _restored_process(), MonkeyPatch.context() as patches:
        patches.chdir(folder)
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            del os.environ[name]
        os.environ.update(environment)
        return CliRunner().invoke(main, list(arguments), prog_name=f"python -m {module}")


@contextmanager
def _restored_process() -> Iterator[None]:
    """Restore what commands change in their process: the environment, MLflow's store, and the signal handlers."""
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    with patch.dict(os.environ), patch(_STORE_OF_MLFLOW, None):
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
