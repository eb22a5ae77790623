"""What a model is judged on: rows, found and checked before anything heavy is imported."""

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
    """splits: of sts_data, by name.  sts: further sets of pairs, by name.  classification: labelled texts, by name.  lines: for people."""

    splits: dict[str, RowSet[StsRow]]
    sts: dict[str, RowSet[StsRow]] = field(default_factory=dict)
    classification: Mapping[str, LabelledData] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def tested(self) -> tuple[str, RowSet[StsRow]]:
        """The split that reports, by its name: test, or the only one that there is."""
        name = "test" if "test" in self.splits else next(iter(self.splits))
        return name, self.splits[name]

    @property
    def looked_at(self) -> tuple[str, RowSet[StsRow]]:
        """The split to look at the layers on, by its name: dev, which may choose, or the only one that there is."""
        return ("dev", self.splits["dev"]) if "dev" in self.splits else self.tested


def find_exam(recipe: Recipe, splits: dict[str, RowSet[StsRow]]) -> Exam:
    """The splits with all else that the recipe names. Raises DataError, HubError or RecipeError for what cannot be used."""
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
    """The test pairs of a further set, or its only split's."""
    try:
        found = load_sts_for_evaluation(setting, on_bad_rows=recipe.on_bad_rows)
        rows = found["test"] if "test" in found else next(iter(found.values()))
        check_pairs(rows.rows, f"{name} ({rows.name})")
    except DataError as error:
        told = _ABOUT_RANGES.sub(_NO_RANGE, str(error))
        raise type(error)(f"sts_eval {name}: {told}") from error
    return rows


_ABOUT_RANGES = re.compile(r"(?:give (?:it: )?)?sts_score_range=[\w-]+(?: sets it)?")
_NO_RANGE = "further sets have no range of their own: bring their scores to 0-1 or 0-5"


def check_mteb(recipe: Recipe) -> None:
    """Refuse tasks of `mteb` that are unknown or whose data are out of reach, and all where it is not installed.

    Importing mteb takes seconds: nothing is imported where no task is asked for. Raises RecipeError or HubError.
    """
    from importlib.util import find_spec

    if not recipe.mteb:
        return
    if find_spec("mteb") is None:
        raise RecipeError(
            f"mteb={','.join(recipe.mteb)}: the package mteb is not installed here. Install it: pip install 'sbert-prune[mteb]', "
            "or leave the parameter out."
        )
    from sbert_prune.evaluation.mteb import check_data, find_tasks

    check_data(find_tasks(recipe.mteb))
