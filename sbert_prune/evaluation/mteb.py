"""A sentence model judged by tasks of the installed `mteb` (Muennighoff et al. 2023, https://github.com/embeddings-benchmark/mteb)."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbert_prune.errors import DataError
from sbert_prune.evaluation.measures import Measured
from sbert_prune.evaluation.mteb_tasks import check_data, find_tasks, parts_of

if TYPE_CHECKING:
    from mteb import AbsTask, TaskResult
    from sentence_transformers import SentenceTransformer

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
            notes.append(f"mteb/{name} is {score}: {task.metadata.main_score} has no value for this model on these data")
    return Measured(values=values, notes=tuple(notes))


def _run(model: SentenceTransformer, task: AbsTask) -> TaskResult:
    import mteb

    encoding: Any = {"show_progress_bar": False, "batch_size": 64}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old names that mteb calls, labels that no fold predicts; what concerns people it logs as well
        try:
            found = mteb.evaluate(model, task, co2_tracker=False, cache=None, show_progress_bar=False, encode_kwargs=encoding)
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
