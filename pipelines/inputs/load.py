"""All that `full` reads, found and checked before anything is trained."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.console import say
from pipelines.inputs.base import PruneInputs, check_machine, describe_pruning, find_base, find_given_teacher
from pipelines.inputs.data import check_named_data, check_texts, find_texts
from pipelines.inputs.exam import Exam, find_exam
from pipelines.inputs.texts import TrainingTexts, describe_sentences, distillation_texts
from pipelines.teaching import check_teacher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sbert_prune.data.leaks import Leaks
    from sbert_prune.data.rows import NliRow, RowSet, StsRow
    from sbert_prune.models.lineage import DataRecord
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe


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
    say(describe_pruning(pruning, recipe), *found.lines, *exam.lines)
    if sentences is not None:
        say(describe_sentences(sentences[1]))
    return Inputs(replace(pruning, texts=texts), texts, found.leaks, sentences, teacher, exam)
