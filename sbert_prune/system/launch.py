"""How this process was started: by the console script or a module, alone or as one of several."""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sbert_prune.errors import RecipeError

_OF_SEVERAL = ("RANK", "MASTER_ADDR", "MASTER_PORT")
_ALONE = "torchrun sets it with RANK, MASTER_ADDR and MASTER_PORT; to run alone: unset WORLD_SIZE RANK"


def rank_and_size() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many train together: 0 and 1 without torchrun.

    Raises:
        RecipeError: torchrun's variables are incomplete or do not fit together, as where one is left over.
    """
    given = os.environ.get("WORLD_SIZE", "").strip()
    if given in {"", "1"}:
        return 0, 1
    if not (given.isdecimal() and int(given) > 0):
        raise RecipeError(f"WORLD_SIZE={given} is not a number of processes. {_ALONE}")
    if missing := [name for name in _OF_SEVERAL if not os.environ.get(name, "").strip()]:
        raise RecipeError(f"WORLD_SIZE={given} is set, but not {' and '.join(missing)}. {_ALONE}")
    rank, size, port = os.environ["RANK"].strip(), int(given), os.environ["MASTER_PORT"].strip()
    if not (rank.isdecimal() and int(rank) < size):
        raise RecipeError(f"RANK={rank} is not the number of one of WORLD_SIZE={given} processes. {_ALONE}")
    if not (port.isdecimal() and int(port) < 65_536):
        raise RecipeError(f"MASTER_PORT={port} is not the number of a port. {_ALONE}")
    return int(rank), size


def started_by_torchrun() -> bool:
    """Return whether torchrun started this process, and will end it with the others."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def prefer_own_packages() -> None:
    """Import our `pipelines` and `tuning` where PYTHONPATH or the current folder has packages of these names.

    Processes that this one starts do likewise.
    """
    root = Path(__file__).parents[2]
    if all(_is_in(root, name) for name in ("pipelines", "tuning")):
        return
    sys.path.insert(0, str(root))
    paths = filter(None, (str(root), os.environ.get("PYTHONPATH")))
    os.environ.update(PYTHONPATH=os.pathsep.join(paths), PYTHONSAFEPATH="1")


def _is_in(root: Path, package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None and Path(spec.origin).parent.samefile(root / package)


def complete_identity() -> None:
    """Set HOME and USER, which libraries need, where they are not set and the system does not know the user's id.

    Containers are often started with such an id.
    """
    try:
        Path.home()
    except RuntimeError:
        home = Path(tempfile.gettempdir()) / f"home-of-{os.getuid()}"
        home.mkdir(mode=0o700, exist_ok=True)
        os.environ["HOME"] = str(home)
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())


def console_script() -> None:
    """Run a command of the console script `sbert-prune`."""
    os.environ["PYTHONSAFEPATH"] = "1"  # without it, processes that it starts search the current folder first
    prefer_own_packages()
    import_module("tuning.__main__").console_script()
