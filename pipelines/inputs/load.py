"""Load and check all inputs of `full`, before anything is trained."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import echo
from pipelines.inputs.base import PruneInputs, check_machine, describe_pruning, find_base, find_named_teacher
from pipelines.inputs.exam import Exam, find_exam
from sbert_prune.errors import RecipeError
from sbert_prune.inputs.data import check_named_data, check_texts, find_texts
from sbert_prune.inputs.teacher import teacher_layers
from sbert_prune.inputs.texts import TrainingTexts, describe_sentences, distillation_sentences
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.store_uri import own_folder, sqlite_path, tracking_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sbert_prune.data.leaks import Leaks
    from sbert_prune.data.rows import NliRow, RowSet, StsRow
    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe


def find_teacher(recipe: Recipe) -> SavedModel | None:
    """Locate the teacher of a single step; None without one.

    Raises:
        RecipeError: The teacher is the reference, which only `full` has.
    """
    teacher = find_named_teacher(recipe)
    if teacher is None and recipe.has_teacher:
        raise RecipeError(
            f"distil_teacher={recipe.distil.teacher}: a single step has no reference. Give a model, such as "
            "models:/NAME/1, or use `full`, which trains the reference and distils from it."
        )
    return teacher


def check_teacher(
    recipe: Recipe, base: SavedModel, selection: LayerSelection | None, teacher: SavedModel | None
) -> None:
    """Refuse a teacher whose layers a student of this base cannot be compared with.

    Args:
        recipe: Its layer weight counts.
        base: The base of the student.
        selection: The layers of the student; None where they are measured later.
        teacher: None for the reference.
    """
    if teacher is not None and "distil" in recipe.phases and recipe.distil.layer_weight > 0:
        origin = lineage_of(base)
        student = origin if selection is None else origin.after_cut(selection, strategy=recipe.strategy)
        teacher_layers(recipe, student, teacher)


@dataclass(frozen=True)
class Inputs:
    """The inputs of `full`.

    Args:
        pruning: The base and how to prune it.
        texts: The rows to train on, and dev and test.
        leaks: What train shared with dev and test, by phase.
        teacher: A teacher other than the reference.
        exam: The rows that the result is evaluated on.
    """

    pruning: PruneInputs
    texts: TrainingTexts
    leaks: Mapping[str, Leaks]
    teacher: SavedModel | None
    exam: Exam

    @property
    def splits(self) -> dict[str, RowSet[NliRow] | RowSet[StsRow]]:
        """All splits that a variant and its reference use, by phase and name."""
        nli = {"nli train": self.texts.nli} if self.texts.nli else {}
        held_out = {f"sts {name}": rows for name, rows in self.texts.sts.held_out.items()}
        return {**nli, "sts train": self.texts.sts.train, **held_out}

    def reference_key(self, recipe: Recipe) -> str:
        """Return a key of the base, the data, and the settings other than pruning and teacher.

        It is the same for a variant and its reference.
        """
        trains_on_nli = "nli" in recipe.of_reference(1).phases
        digests = (rows.digest for split, rows in self.splits.items() if split != "nli train" or trains_on_nli)
        parts = (recipe.reference_digest, self.pruning.base.checkpoint.fingerprint(), *digests)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def sibling_key(self, recipe: Recipe) -> str:
        """Return a key that is the same for variants that differ only in their strategy."""
        return hashlib.sha256(f"{recipe.sibling_digest}\n{self.reference_key(recipe)}".encode()).hexdigest()[:16]


def load_inputs(recipe: Recipe) -> Inputs:
    """Locate the base and the teacher, load all data, check them, and print a description."""
    check_machine(recipe)
    check_named_data(recipe)
    pruning = find_base(recipe)
    teacher = find_named_teacher(recipe)
    check_teacher(recipe, pruning.base, pruning.selection, teacher)
    loaded = find_texts(recipe)
    texts = loaded.value
    check_texts(recipe, texts)
    if "distil" in recipe.phases:
        texts = replace(texts, sentences=distillation_sentences(recipe, texts))
    exam = find_exam(recipe, texts.sts.held_out)
    echo(describe_pruning(pruning, recipe), *loaded.lines, *exam.lines)
    if texts.sentences is not None:
        echo(describe_sentences(texts.sentences))
    return Inputs(replace(pruning, texts=texts), texts, loaded.leaks, teacher, exam)


COPIES = 3 * 4
"""Size of the checkpoints in copies of the model.

Two are kept while a third is written; each has the weights, two moments of AdamW, and the best weights so far.
"""


def check_disk_space(recipe: Recipe, inputs: Inputs) -> None:
    """Check that the disks have space for a variant: the results of its steps, its checkpoints, and temporary copies.

    The estimate is a lower bound, so that no variant is refused that would fit.

    Raises:
        RecipeError: A disk has too little space.
    """
    pruning = inputs.pruning
    weights = sum(path.stat().st_size for path in pruning.base.checkpoint.weights)
    model = weights * pruning.num_layers // pruning.base.checkpoint.depth
    steps = len(pruning.cuts) * (1 + len(recipe.phases))
    store = sqlite_path(tracking_uri())
    needed: dict[Path, int] = defaultdict(int)
    needed[own_folder().parent] += (steps + (COPIES if recipe.phases else 0)) * model
    needed[Path(tempfile.gettempdir())] += 2 * model
    if store is not None:
        needed[store.parent] += model
    by_disk: dict[int, tuple[Path, int]] = {}
    for place, size in needed.items():
        disk = place.stat().st_dev
        by_disk[disk] = (by_disk.get(disk, (place, 0))[0], by_disk.get(disk, (place, 0))[1] + size)
    for place, size in by_disk.values():
        free = shutil.disk_usage(place).free
        if free < size:
            raise RecipeError(
                f"{place}: {free / 1e6:,.0f} MB are free on its disk, and making {pruning.num_layers} layers of "
                f"{pruning.base.uri} takes at least {size / 1e6:,.0f} MB. "
                f"Free disk space ({command_line('cleanup')} lists what can be deleted), or work in another folder."
            )
