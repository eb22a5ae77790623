"""Tasks of the installed `mteb`: lookup, data check and evaluation.

Muennighoff et al. 2023, https://github.com/embeddings-benchmark/mteb
"""

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

_USER_TASK = re.compile(r"(?P<file>.+\.py)(:(?P<name>\w*))?")


def find_tasks(names: Sequence[str]) -> list[AbsTask]:
    """Return tasks by their names in mteb, or as FILE.py:CLASS. FILE.py is executed. mteb must be installed.

    Raises RecipeError for a name unknown to mteb, a task that needs more than text, and a file without such a class.
    """
    tasks = []
    for name in dict.fromkeys(names):
        match = _USER_TASK.fullmatch(name)
        task = _user_task(Path(match["file"]), match["name"] or "") if match else _mteb_task(name)
        if other_modalities := sorted(set(task.metadata.modalities) - {"text"}):
            raise RecipeError(
                f"mteb={name}: the task needs {' and '.join(other_modalities)}, and a sentence model reads text. Take "
                "another task."
            )
        tasks.append(task)
    return tasks


def check_data(tasks: Sequence[AbsTask]) -> None:
    """Check that the hub or its cache has the data of mteb's own tasks, without a download.

    Raises HubError naming the task.
    """
    for task in tasks:
        for part in parts_of(task):
            if not type(part).__module__.startswith("mteb."):
                continue  # a task of the user loads its data in its own way
            dataset = part.metadata.dataset
            try:
                resolve(dataset["path"], kind="dataset", revision=dataset["revision"])
            except HubError as error:
                raise HubError(
                    f"mteb={task.metadata.name}: mteb fetches the data of its tasks from the hub, and they are not "
                    f"available. {error} Or leave the task out."
                ) from error


def parts_of(task: AbsTask) -> list[AbsTask]:
    """Return the tasks that an aggregate averages; for any other task, the task itself."""
    return list(getattr(task.metadata, "tasks", [task]))


def _mteb_task(name: str) -> AbsTask:
    with _without_cache():
        import mteb
        from mteb.get_tasks import TASK_LIST

    task_classes = {task.metadata.name: task for task in TASK_LIST}
    if name in task_classes:
        return mteb.get_task(name)
    name_by_lower = {key.lower(): key for key in task_classes}
    similar = [name_by_lower[key] for key in get_close_matches(name.lower(), name_by_lower, n=3)]
    hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
    raise RecipeError(
        f"mteb={name}: mteb {mteb.__version__} has no task of this name.{hint} Its {len(task_classes):,} tasks are "
        "listed by "
        '`python -c "import mteb; print(mteb.get_tasks())"`; a task of your own is given as FILE.py:CLASS.'
    )


def _user_task(file: Path, name: str) -> AbsTask:
    with _without_cache():
        from mteb import AbsTask

    if not file.is_file():
        raise RecipeError(
            f"mteb={file}:{name}: there is no file {file}. Give the Python file of your task, as FILE.py:CLASS."
        )
    try:
        module = runpy.run_path(str(file), run_name=file.stem)
        task_classes = {key: value for key, value in module.items() if _is_task(value, AbsTask)}
        if name in task_classes:
            return task_classes[name]()
    except Exception as error:  # the user's file may raise anything
        raise RecipeError(
            f"mteb={file}:{name}: {file} fails with {type(error).__name__}: {error}. Correct the file."
        ) from error
    contents = (
        f"it has {', '.join(task_classes)}"
        if task_classes
        else "it has no class of a task, with its metadata and all methods"
    )
    raise RecipeError(
        f"mteb={file}:{name}: {file} has no task {name!r}; {contents}. Expected FILE.py:CLASS, of a subclass of "
        "mteb.AbsTask."
    )


def _is_task(value: Any, task: type[AbsTask]) -> bool:
    return isinstance(value, type) and issubclass(value, task) and not isabstract(value) and hasattr(value, "metadata")


@contextmanager
def _without_cache() -> Iterator[None]:
    """Set MTEB_CACHE while mteb is imported: by default the import creates a folder for results in the user's home."""
    previous = os.environ.get("MTEB_CACHE")
    with TemporaryDirectory() as folder:
        os.environ["MTEB_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["MTEB_CACHE"]
            if previous is not None:
                os.environ["MTEB_CACHE"] = previous


_INVALID = re.compile(r"[^\w\-. ]", re.ASCII)  # in the name of a metric or file


def run_tasks(model: SentenceTransformer, tasks: Sequence[str], scratch: Path) -> Measured:
    """Return the main score of each task as `mteb/TASK`, averaged over splits and languages by mteb.

    A score that is not finite becomes a note. The data are fetched from the hub into Hugging Face's caches and stay
    there.

    Args:
        model: The sentence model.
        tasks: Task names of mteb, or FILE.py:CLASS.
        scratch: A folder for mteb's result files: TASK.json with all scores of a task.

    Raises:
        RecipeError: A task is unknown.
        HubError: The data of a task are not available.
        DataError: The data of a task cannot be loaded or evaluated.
    """
    from rich.console import Console
    from rich.progress import track

    found_tasks = find_tasks(tasks)
    check_data(found_tasks)
    scratch.mkdir(parents=True, exist_ok=True)
    values: dict[str, float] = {}
    notes: list[str] = []
    for task in track(found_tasks, "mteb", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        with _loaded(task):
            result = _run(model, task)
        name, score = _INVALID.sub("_", task.metadata.name), float(result.get_score())
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

    options: Any = {"show_progress_bar": False, "batch_size": 64}
    with warnings.catch_warnings():
        # Deprecated names that mteb calls, and labels that no fold predicts; mteb also logs what concerns the user.
        warnings.simplefilter("ignore")
        try:
            results = mteb.evaluate(
                model, task, co2_tracker=False, cache=None, show_progress_bar=False, encode_kwargs=options
            )
        except Exception as error:  # each task has its own code and may raise anything
            raise DataError(
                f"mteb={task.metadata.name}: the task ends with {type(error).__name__}: {error}. Leave it out, or ask "
                "its authors."
            ) from error
    return results.task_results[0]


@contextmanager
def _loaded(task: AbsTask) -> Iterator[None]:
    """Load the data of a task for the block, without a progress bar per file. Raises DataError."""
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
    except Exception as error:  # each task has its own code and may raise anything
        source = task.metadata.dataset["path"]
        raise DataError(
            f"mteb={task.metadata.name}: the data of the task ({source}) cannot be loaded: {type(error).__name__}: "
            f"{error}. mteb fetches them from the hub: check the network, HF_ENDPOINT and, where they are not public, "
            "HF_TOKEN; or leave the task out."
        ) from error
