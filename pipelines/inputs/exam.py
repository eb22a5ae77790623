"""Load and check the rows that a model is evaluated on, before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sbert_prune.data.describe import describe_labelled, describe_rows
from sbert_prune.data.labelled import load_labelled
from sbert_prune.data.sources import load_sts_for_evaluation
from sbert_prune.data.sts import check_pairs
from sbert_prune.errors import DataError, RecipeError

if TYPE_CHECKING:
    from sbert_prune.data.rows import LabelledData, RowSet, StsRow
    from sbert_prune.recipe.recipe import Recipe


@dataclass(frozen=True)
class Exam:
    """The rows that a model is evaluated on.

    Args:
        splits: The splits of sts_data, by name.
        sts: Further sets of pairs, by name.
        classification: Labelled texts, by name.
        lines: Their description, to print.
    """

    splits: dict[str, RowSet[StsRow]]
    sts: dict[str, RowSet[StsRow]] = field(default_factory=dict)
    classification: Mapping[str, LabelledData] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def tested(self) -> tuple[str, RowSet[StsRow]]:
        """The split whose score is reported, with its name: test, or the only split."""
        name = "test" if "test" in self.splits else next(iter(self.splits))
        return name, self.splits[name]

    @property
    def looked_at(self) -> tuple[str, RowSet[StsRow]]:
        """The split to analyse the layers on, with its name: dev, or the only split."""
        return ("dev", self.splits["dev"]) if "dev" in self.splits else self.tested


def find_exam(recipe: Recipe, splits: dict[str, RowSet[StsRow]]) -> Exam:
    """Load all other data to evaluate on that the recipe names.

    Raises:
        DataError: Rows cannot be used.
        HubError: A hub does not give them.
        RecipeError: A setting is not valid.
    """
    lines: list[str] = []
    sts: dict[str, RowSet[StsRow]] = {}
    classification: dict[str, LabelledData] = {}
    for name, setting in recipe.sts_eval.items():
        sts[name] = _pairs(recipe, name, setting)
        lines += [f"sts_eval {line}" for line in describe_rows(name, sts[name])]
    for name, setting in recipe.classification.items():
        try:
            classification[name] = load_labelled(setting, on_bad_rows=recipe.on_bad_rows)
        except DataError as error:
            raise type(error)(f"classification {name}: {error}") from error
        lines += [f"classification {name} {line}" for line in describe_labelled(classification[name])]
    check_mteb(recipe)
    return Exam(splits, sts, classification, tuple(lines))


def _pairs(recipe: Recipe, name: str, setting: str) -> RowSet[StsRow]:
    """Load the test pairs of a further set, or those of its only split."""
    try:
        splits = load_sts_for_evaluation(setting, on_bad_rows=recipe.on_bad_rows, ends_known=False)
        rows = splits["test"] if "test" in splits else next(iter(splits.values()))
        check_pairs(rows.rows, f"{name} ({rows.name})")
    except DataError as error:
        message = _RANGE_ADVICE.sub(_NO_RANGE, str(error))
        raise type(error)(f"sts_eval {name}: {message}") from error
    return rows


_RANGE_ADVICE = re.compile(r"(?:give (?:it: )?)?sts_score_range=[\w-]+(?: sets it)?")
_NO_RANGE = "further sets have no range of their own: scale their scores to 0-1 or 0-5"


def check_mteb(recipe: Recipe) -> None:
    """Check that mteb is installed, and that the tasks and their data exist; import nothing where no task is given.

    Importing mteb takes seconds.

    Raises:
        RecipeError: mteb is not installed, or has no such task.
        HubError: The data of a task cannot be downloaded.
    """
    from importlib.util import find_spec

    if not recipe.mteb:
        return
    if find_spec("mteb") is None:
        raise RecipeError(
            f"mteb={','.join(recipe.mteb)}: the package mteb is not installed here. "
            "Install it: pip install 'sbert-prune[mteb]', or leave the parameter out."
        )
    from sbert_prune.evaluation.mteb import check_data, find_tasks

    check_data(find_tasks(recipe.mteb))
