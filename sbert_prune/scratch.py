"""A folder for temporary files that goes with its process, or, where that was killed, with the next one."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbert_prune.system.processes import Process

_PREFIX = "sbert-prune-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """All temporary files of this process, MLflow's downloads among them, lie in one folder meanwhile. Raises OSError."""
    before = tempfile.tempdir
    _clear_dead(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{Process.own()}-") as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def dead_folders(place: Path) -> Iterator[Path]:
    """What processes of this machine that were killed have left there."""
    for folder in place.glob(f"{_PREFIX}*"):
        process = Process.parse(folder.name.removeprefix(_PREFIX).rpartition("-")[0])
        if process is not None and process.runs is False:
            yield folder


def _clear_dead(place: Path) -> None:
    for folder in dead_folders(place):
        shutil.rmtree(folder, ignore_errors=True)
