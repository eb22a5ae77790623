"""A sentence model judged by tasks of the installed `mteb` (Muennighoff et al. 2023, https://github.com/embeddings-benchmark/mteb)."""

from __future__ import annotations

import math
import os
import re
import runpy
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from inspect import isabstract
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import DataError, HubError, RecipeError
from sbert_prune.evaluation.measures import Measured
from sbert_prune.hub.snapshot import resolve

if TYPE_CHECKING:
    from mteb import AbsTask, TaskResult
    from sentence_transformers import SentenceTransformer

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
            raise RecipeError(
                f"mteb={name}: the task needs {' and '.join(foreign)}, and a sentence model reads text. Take another task."
            )
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
        raise RecipeError(
            f"mteb={file}:{name}: there is no file {file}. Give the Python file of your task, as FILE.py:CLASS."
        )
    try:
        found = runpy.run_path(str(file), run_name=file.stem)
        kinds = {key: value for key, value in found.items() if _is_task(value, AbsTask)}
        if name in kinds:
            return kinds[name]()
    except Exception as error:  # the user's own program may raise anything, and it is theirs to mend
        raise RecipeError(
            f"mteb={file}:{name}: {file} fails with {type(error).__name__}: {error}. Mend the file."
        ) from error
    held = f"it has {', '.join(kinds)}" if kinds else "it has no class of a task, with its metadata and all methods"
    raise RecipeError(
        f"mteb={file}:{name}: {file} has no task {name!r}; {held}. Expected FILE.py:CLASS, of a subclass of mteb.AbsTask."
    )


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


_UNFIT = re.compile(r"[^\w\-. ]", re.ASCII)  # for the name of a metric, and of a file


def run_tasks(model: SentenceTransformer, tasks: Sequence[str], scratch: Path) -> Measured:
    """The main score of each task as `mteb/TASK`, averaged over splits and languages as mteb does. One that is not finite becomes a note.

    tasks: mteb's names, or FILE.py:CLASS.  scratch: a folder for mteb's own result files, TASK.json with all scores of a task. Data come
    from the hub through Hugging Face's caches, where they stay.

    Raises RecipeError for an unknown task, HubError for data out of reach, and DataError for data that cannot be loaded or judged.
    """
    from rich.console import Console
    from rich.progress import track

    found = find_tasks(tasks)
    check_data(found)
    scratch.mkdir(parents=True, exist_ok=True)
    values: dict[str, float] = {}
    notes: list[str] = []
    for task in track(found, "mteb", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        with _loaded(task):
            result = _run(model, task)
        name, score = _UNFIT.sub("_", task.metadata.name), float(result.get_score())
        result.to_disk(scratch / f"{name}.json")
        if math.isfinite(score):
            values[f"mteb/{name}"] = score
        else:
            notes.append(
                f"mteb/{name} is {score}: {task.metadata.main_score} has no value for this model on these data"
            )
    return Measured(values=values, notes=tuple(notes))


def _run(model: SentenceTransformer, task: AbsTask) -> TaskResult:
    import mteb

    encoding: Any = {"show_progress_bar": False, "batch_size": 64}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # old names that mteb calls, labels that no fold predicts; what concerns people it logs as well
        try:
            found = mteb.evaluate(
                model, task, co2_tracker=False, cache=None, show_progress_bar=False, encode_kwargs=encoding
            )
        except Exception as error:  # each task computes in its own way, and may raise anything
            raise DataError(
                f"mteb={task.metadata.name}: the task ends with {type(error).__name__}: {error}. Leave it out, or ask its authors."
            ) from error
    return found.task_results[0]


@contextmanager
def _loaded(task: AbsTask) -> Iterator[None]:
    """The task's data in memory, without a bar for each file. Raises DataError."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    had_bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        for part in parts_of(task):
            _load(part)
        yield
    finally:
        for part in parts_of(task):
            if part.data_loaded:
                part.unload_data()
        if had_bars:
            enable_progress_bars()


def _load(task: AbsTask) -> None:
    try:
        task.load_data()
    except Exception as error:  # each task loads in its own way, and may raise anything
        source = task.metadata.dataset["path"]
        raise DataError(
            f"mteb={task.metadata.name}: the data of the task ({source}) cannot be loaded: {type(error).__name__}: {error}. mteb fetches "
            "them from the hub: check the network, HF_ENDPOINT and, where they are not public, HF_TOKEN; or leave the task out."
        ) from error
