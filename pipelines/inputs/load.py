"""All that `full` reads, found and checked before anything is trained."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.inputs.base import PruneInputs, check_machine, describe_pruning, find_base, find_given_teacher
from pipelines.inputs.data import check_named_data, check_texts, find_texts
from pipelines.inputs.exam import Exam, find_exam
from pipelines.inputs.texts import TrainingTexts, describe_sentences, distillation_texts
from sbert_prune.errors import RecipeError
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.tracking.store_uri import own_folder, sqlite_path, tracking_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sbert_prune.data.leaks import Leaks
    from sbert_prune.data.rows import NliRow, RowSet, StsRow
    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.lineage import DataRecord, Lineage
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe


def find_teacher(recipe: Recipe) -> SavedModel | None:
    """The teacher of a single step; None where nobody teaches. Raises RecipeError for "reference": one step alone has none."""
    given = find_given_teacher(recipe)
    if given is None and recipe.has_teacher:
        raise RecipeError(
            f"distil_teacher={recipe.distil.teacher}: a step alone has no reference. Give a model, such as models:/NAME/1; "
            "`full` trains the reference and learns from it."
        )
    return given


def check_teacher(recipe: Recipe, base: SavedModel, selection: LayerSelection | None, teacher: SavedModel | None) -> None:
    """Refuse early a given teacher that a student of this base cannot follow layer by layer. selection: None while it is to be measured."""
    if teacher is not None:
        origin = lineage_of(base)
        teacher_layers(recipe, origin if selection is None else origin.after_cut(selection, strategy=recipe.strategy), teacher)


def teacher_layers(recipe: Recipe, student: Lineage, teacher: SavedModel) -> tuple[int, ...] | None:
    """The teacher's layers that the student's were, to be followed one by one; None where the recipe does not ask for it.

    Raises RecipeError for a teacher that is not made of the same base's layers.
    """
    if recipe.distil.layer_weight == 0 or "distil" not in recipe.phases:
        return None
    of_teacher = lineage_of(teacher)
    same = of_teacher.base.depth == student.base.depth and set(student.kept_layers) <= set(of_teacher.kept_layers)
    if not same:
        raise RecipeError(
            f"distil_layer_weight={recipe.distil.layer_weight}: the teacher {teacher.uri} has the layers {of_teacher.selection} of "
            f"{of_teacher.base.depth}, the student {student.selection} of {student.base.depth}: they cannot be compared one by one. "
            "Take the reference as the teacher, or leave distil_layer_weight out."
        )
    return tuple(of_teacher.kept_layers.index(layer) for layer in student.kept_layers)


@dataclass(frozen=True)
class Inputs:
    """All that `full` reads, checked before anything is trained.

    leaks: what train shared with dev and test, by phase.  sentences: what a student learns from its teacher, with their record.
    teacher: where the recipe names one besides the reference.  exam: what the result is judged on.
    """

    pruning: PruneInputs
    texts: TrainingTexts
    leaks: Mapping[str, Leaks]
    sentences: tuple[list[str], DataRecord] | None
    teacher: SavedModel | None
    exam: Exam

    @property
    def splits(self) -> dict[str, RowSet[NliRow] | RowSet[StsRow]]:
        """Every split that a variant and its reference see, by what it is for."""
        nli = {"nli train": self.texts.nli} if self.texts.nli else {}
        sts = self.texts.sts
        return {**nli, "sts train": sts.train, "sts dev": sts.dev, "sts test": sts.test}

    def reference_key(self, recipe: Recipe) -> str:
        """Names what a variant and its reference share: base, data and all settings but what makes it smaller and who teaches."""
        seen = {use: rows for use, rows in self.splits.items() if use != "nli train" or "nli" in recipe.of_reference(1).phases}
        digests = (rows.digest for rows in seen.values())
        parts = (recipe.reference_digest, self.pruning.base.checkpoint.fingerprint(), *digests)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def sibling_key(self, recipe: Recipe) -> str:
        """Names what variants share that differ in their strategy alone."""
        return hashlib.sha256(f"{recipe.sibling_digest}\n{self.reference_key(recipe)}".encode()).hexdigest()[:16]


def load_inputs(recipe: Recipe) -> Inputs:
    """Find the base, check how it is made smaller, parse all data, and say what was understood."""
    check_machine(recipe)
    check_named_data(recipe)
    pruning = find_base(recipe)
    teacher = find_given_teacher(recipe)
    check_teacher(recipe, pruning.base, pruning.selection, teacher)
    found = find_texts(recipe)
    texts = found.value
    check_texts(recipe, texts)
    sentences = distillation_texts(recipe, texts) if "distil" in recipe.phases else None
    exam = find_exam(recipe, {"dev": texts.sts.dev, "test": texts.sts.test})
    echo(describe_pruning(pruning, recipe), *found.lines, *exam.lines)
    if sentences is not None:
        echo(describe_sentences(sentences[1]))
    return Inputs(replace(pruning, texts=texts), texts, found.leaks, sentences, teacher, exam)


COPIES = 3 * 4
"""Two checkpoints on the way and one being written; each holds weights, two moments of AdamW, and the best weights so far."""


def check_disk_space(recipe: Recipe, inputs: Inputs) -> None:
    """Refuse a variant for which a disk has no room: its steps' results, checkpoints, and copies on the way to the store.

    The least that it can take, so that nobody is refused in vain. Raises RecipeError.
    """
    pruning = inputs.pruning
    weights = sum(path.stat().st_size for path in pruning.base.checkpoint.weights)
    model = weights * pruning.num_layers // pruning.base.checkpoint.depth
    steps = len(pruning.cuts) * (1 + len(recipe.phases))
    store = sqlite_path(tracking_uri())
    wanted: dict[Path, int] = defaultdict(int)
    wanted[own_folder().parent] += (steps + (COPIES if recipe.phases else 0)) * model
    wanted[Path(tempfile.gettempdir())] += 2 * model
    if store is not None:
        wanted[store.parent] += model
    by_disk: dict[int, tuple[Path, int]] = {}
    for place, size in wanted.items():
        disk = place.stat().st_dev
        by_disk[disk] = (by_disk.get(disk, (place, 0))[0], by_disk.get(disk, (place, 0))[1] + size)
    for place, size in by_disk.values():
        free = shutil.disk_usage(place).free
        if free < size:
            raise RecipeError(
                f"{place}: {free / 1e6:,.0f} MB are free on its disk, and making {pruning.num_layers} layers of {pruning.base.uri} takes "
                f"at least {size / 1e6:,.0f} MB on the way. Make room (mlflow run . -e cleanup tells what can go), or work elsewhere."
            )
