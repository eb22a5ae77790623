"""What every command does first, for processes that are started by the dozen: nothing heavy is imported here."""

import os
import tempfile
from multiprocessing.synchronize import Barrier

from sbert_prune.store import connect
from sbert_prune.tracking import open_run


def begin(uri: str, start: Barrier, **environment: str) -> None:
    """Open a store at the same moment as others, and a run in it."""
    os.environ |= {"MLFLOW_TRACKING_URI": uri} | environment
    tempfile.tempdir = None
    start.wait()
    with open_run(connect(), "first", {"step": "prune"}):
        pass
