"""Tasks of the installed `mteb` by their names, and the user's own: `FILE.py:CLASS`."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from inspect import isabstract
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import HubError, RecipeError
from sbert_prune.hub.snapshot import resolve

if TYPE_CHECKING:
    from mteb import AbsTask

_OWN = re.compile(r"(?P<file>.+\.py)(:(?P<name>\w*))?")


def find_tasks(names: Sequence[str]) -> list[AbsTask]:
    """Tasks by mteb's names, or as FILE.py:CLASS; a file of the user's own is run as a program. mteb has to be installed.

    Raises RecipeError for a name that mteb does not have, a task that needs more than text, and a file without such a class.
    """
    tasks = []
    for name in dict.fromkeys(names):
        own = _OWN.fullmatch(name)
        task = _own_task(Path(own["file"]), own["name"] or "") if own else _known_task(name)
        if foreign := sorted(set(task.metadata.modalities) - {"text"}):
            raise RecipeError(f"mteb={name}: the task needs {' and '.join(foreign)}, and a sentence model reads text. Take another task.")
        tasks.append(task)
    return tasks


def check_data(tasks: Sequence[AbsTask]) -> None:
    """Ask the hub, or its cache, for the data sets of mteb's own tasks; nothing is downloaded. Raises HubError naming the task."""
    for task in tasks:
        for part in parts_of(task):
            if not _is_known(part):
                continue  # where a task of the user's own takes its data from is its own affair
            asked = part.metadata.dataset
            try:
                resolve(asked["path"], kind="dataset", revision=asked["revision"])
            except HubError as error:
                raise HubError(
                    f"mteb={task.metadata.name}: mteb fetches the data of its tasks from the hub, and they cannot be had. {error} "
                    "Or leave the task out."
                ) from error


def parts_of(task: AbsTask) -> list[AbsTask]:
    """The tasks that an aggregate is the mean of; of any other, the task itself."""
    return list(getattr(task.metadata, "tasks", [task]))


def _known_task(name: str) -> AbsTask:
    with _without_cache():
        import mteb
        from mteb.get_tasks import TASK_LIST

    known = {task.metadata.name: task for task in TASK_LIST}
    if name in known:
        return mteb.get_task(name)
    lower = {key.lower(): key for key in known}
    near = [lower[key] for key in get_close_matches(name.lower(), lower, n=3)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise RecipeError(
        f"mteb={name}: mteb {mteb.__version__} has no task of this name.{hint} Its {len(known):,} tasks are listed by "
        '`python -c "import mteb; print(mteb.get_tasks())"`; a task of your own is given as FILE.py:CLASS.'
    )


def _is_known(task: AbsTask) -> bool:
    return type(task).__module__.startswith("mteb.")


def _own_task(file: Path, name: str) -> AbsTask:
    with _without_cache():
        from mteb import AbsTask

    if not file.is_file():
        raise RecipeError(f"mteb={file}:{name}: there is no file {file}. Give the Python file of your task, as FILE.py:CLASS.")
    try:
        found = runpy.run_path(str(file), run_name=file.stem)
        kinds = {key: value for key, value in found.items() if _is_task(value, AbsTask)}
        if name in kinds:
            return kinds[name]()
    except Exception as error:  # the user's own program may raise anything, and it is theirs to mend
        raise RecipeError(f"mteb={file}:{name}: {file} fails with {type(error).__name__}: {error}. Mend the file.") from error
    held = f"it has {', '.join(kinds)}" if kinds else "it has no class of a task, with its metadata and all methods"
    raise RecipeError(f"mteb={file}:{name}: {file} has no task {name!r}; {held}. Expected FILE.py:CLASS, of a subclass of mteb.AbsTask.")


def _is_task(value: Any, task: type[AbsTask]) -> bool:
    return isinstance(value, type) and issubclass(value, task) and not isabstract(value) and hasattr(value, "metadata")


@contextmanager
def _without_cache() -> Iterator[None]:
    """While mteb is imported: it makes a folder for results, in the user's home unless MTEB_CACHE says otherwise."""
    before = os.environ.get("MTEB_CACHE")
    with TemporaryDirectory() as folder:
        os.environ["MTEB_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["MTEB_CACHE"]
            if before is not None:
                os.environ["MTEB_CACHE"] = before
