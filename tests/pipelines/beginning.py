"""The first actions of every command, for tests that start many processes; imports nothing heavy."""

import os
import signal
import tempfile
from multiprocessing.synchronize import Barrier

from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import connect


def begin(uri: str, start: Barrier, **environment: str) -> None:
    """Open a store at the same moment as others, and a run in it."""
    os.environ |= {"MLFLOW_TRACKING_URI": uri} | environment
    tempfile.tempdir = None
    start.wait()
    with open_run(connect(), "first", {"step": "prune"}):
        pass


def die_while_registering(uri: str) -> None:
    """Kill this process with two runs open and a model half logged."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    store = connect()
    with (
        open_run(store, "full L6", {"step": "full"}) as parent,
        open_run(store, "register", {"step": "register"}, parent=parent) as child,
    ):
        store.client.create_logged_model("0", "x", child.run_id)
        os.kill(os.getpid(), signal.SIGKILL)
