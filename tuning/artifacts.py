"""The variants of trials in the registry: each is a version, and only the best keep their bytes.

The others can be trained again from their recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from pipelines.console import echo
from pipelines.steps.keys import variant_key
from pipelines.steps.records import lineage_tags
from sbert_prune.errors import RoundTripError
from sbert_prune.evaluation.dev_pairs import FILE_NAME
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.roundtrip import ReloadReport, check_same
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import load_saved
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import (
    BYTES,
    DEV_PAIRS_CHECKSUM,
    FILES_CHECKSUM,
    NOT_KEPT,
    TRIAL,
    Version,
    digest_of_files,
    digest_of_text,
)
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.logged_models import (
    add_file,
    delete_files,
    deleting_on_error,
    fetch_files,
    log_model,
    log_without_bytes,
)
from sbert_prune.tracking.orphans import delete_unregistered
from tuning.messages import Failed
from tuning.study import METRICS, VERSION, StoredTrial
from tuning.trial import embed_saved_model

if TYPE_CHECKING:
    from pathlib import Path

    from optuna import Study

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run
    from tuning.messages import Task, Trained
    from tuning.settings import Aim, Limits
    from tuning.workers import WorkerPool

BYTES_MB = "size/disk_mb"


@dataclass(frozen=True)
class Candidate:
    """A complete trial that competes for disk space.

    Attributes:
        number: Number of the trial.
        values: Its objectives, each the better the higher.
        size_mb: Size of its bytes.
    """

    number: int
    values: tuple[float, ...]
    size_mb: float

    @classmethod
    def of(cls, number: int, values: Sequence[float], metrics: Mapping[str, float], aim: Aim) -> Self:
        """Return the candidate with these objectives, as the study gets them."""
        signs = [1.0 if direction == "maximize" else -1.0 for direction in aim.directions]
        signed = tuple(sign * value for sign, value in zip(signs, values, strict=True))
        return cls(number, signed, float(metrics[BYTES_MB]))

    @classmethod
    def of_trial(cls, trial: StoredTrial, aim: Aim) -> Self:
        """Return the candidate of a stored trial."""
        return cls.of(trial.number, trial.trial.values, trial.attribute(METRICS), aim)


def dominates(candidate: Candidate, other: Candidate) -> bool:
    """Return whether a candidate is better in some objective and worse in none."""
    pairs = zip(candidate.values, other.values, strict=True)
    return candidate.values != other.values and all(value >= others for value, others in pairs)


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that no other dominates."""
    return [candidate for candidate in candidates if not any(dominates(other, candidate) for other in candidates)]


def to_keep(candidates: Sequence[Candidate], limits: Limits) -> frozenset[int]:
    """Return the numbers of the trials whose bytes are kept.

    These are the Pareto front and the best, best score first, as far as the disk space allows.
    """
    ranked = sorted(candidates, key=lambda candidate: (-candidate.values[0], candidate.number))
    front = {candidate.number for candidate in pareto_front(candidates)}
    eligible = [
        candidate for rank, candidate in enumerate(ranked) if rank < limits.keep_models or candidate.number in front
    ]
    numbers: list[int] = []
    free_mb = float("inf") if limits.max_gb is None else limits.max_gb * 1000
    for candidate in eligible:
        if candidate.size_mb <= free_mb:
            numbers.append(candidate.number)
            free_mb -= candidate.size_mb
    return frozenset(numbers)


@dataclass(frozen=True)
class TrainedTrial:
    """The result of a trained trial, with its task and its run."""

    task: Task
    run: Run
    result: Trained

    @property
    def folder(self) -> Path:
        """Return the folder of its model."""
        return self.task.folder


def reload_saved(pool: WorkerPool, trained: TrainedTrial) -> ReloadReport:
    """Load the saved model in a process of its own and compare its embeddings. Raises RoundTripError."""
    answer = pool.call(embed_saved_model, trained.folder)
    if answer is None or isinstance(answer, Failed):
        reason = answer.reason if answer else "the process ended without a result"
        raise RoundTripError(f"The variant that was saved cannot be loaded: {reason}")
    embeddings, peak_mb, libraries_mb = answer
    difference = check_same(trained.folder, np.asarray(embeddings), trained.result.probes)
    return ReloadReport(difference, peak_mb, libraries_mb)


class ArtifactRetention:
    """Registers the variants of trials and deletes the bytes of those that are not among the best.

    The trials of one command are registered one after the other.
    """

    def __init__(
        self, context: Context, recipe: Recipe, inputs: Inputs, aim: Aim, limits: Limits, *, study: str
    ) -> None:
        self._context, self._recipe, self._inputs, self._aim, self._limits = context, recipe, inputs, aim, limits
        self._study = study

    def register(
        self, trained: TrainedTrial, metrics: dict[str, float], others: Sequence[Candidate], candidate: Candidate
    ) -> Version:
        """Register a trial's variant as a version; with its bytes where it is among those to keep.

        Args:
            trained: The trial.
            metrics: Its metrics.
            others: The complete trials before it.
            candidate: The trial as one of them.
        """
        source = SavedModel(str(trained.folder), None, inspect_checkpoint(trained.folder))
        described, name = lineage_tags(lineage_of(source)), self._recipe.registered_model
        has_files = candidate.number in to_keep([*others, candidate], self._limits)
        if has_files:
            logged = log_model(trained.run, name, load_saved(source.checkpoint), trained.folder, described)
        else:
            logged = log_without_bytes(trained.run, name, trained.folder, described)
        with deleting_on_error(lambda: delete_unregistered(self._context.store, logged)):
            files = digest_of_files(fetch_files(f"models:/{logged}")) if has_files else None
            add_file(self._context.store, logged, FILE_NAME, trained.result.dev_pairs)
            tags = {
                **described,
                **self._keys(trained.task.recipe),
                **({BYTES: NOT_KEPT} if files is None else {FILES_CHECKSUM: files}),
                "model_id": logged,
                "model_sha256": source.checkpoint.sha256(),
                "fingerprint": source.checkpoint.fingerprint(),
                DEV_PAIRS_CHECKSUM: digest_of_text(trained.result.dev_pairs),
                "run_id": trained.run.run_id,
                "parent_run_id": self._context.parent.run_id if self._context.parent else trained.run.run_id,
                "role": TRIAL,
                "study": self._study,
                "threads": str(trained.task.threads),
            }
            draft = Version(name, "", trained.run.run_id, "None", tags, metrics)
            return registry.register(self._context.store, draft, logged)

    def _keys(self, recipe: Recipe) -> dict[str, str]:
        """Return the tags by which `full` finds the same variant.

        Its reference is the search's own, whatever settings the trial has.
        """
        inputs = self._inputs
        return {
            "recipe": recipe.name,
            "recipe_digest": recipe.digest,
            "variant_key": variant_key(recipe, self._context.hardware, inputs),
            "reference_key": inputs.reference_key(self._recipe),
            "sibling_key": inputs.sibling_key(recipe),
            "seed": str(recipe.seed),
            "sts_dev_digest": inputs.texts.sts.dev.digest[:16],
        }

    def delete_surplus(self, study: Study, complete: Sequence[StoredTrial]) -> None:
        """Delete the bytes of the complete trials that are not among those to keep any more."""
        kept = to_keep([Candidate.of_trial(trial, self._aim) for trial in complete], self._limits)
        deleted: list[int] = list(study.user_attrs.get(_DELETED) or [])
        surplus = [
            trial
            for trial in complete
            if trial.number not in kept and trial.number not in deleted and trial.attribute(VERSION)
        ]
        for trial in surplus:
            self._delete(str(trial.attribute(VERSION)))
        if surplus:
            study.set_user_attr(_DELETED, deleted + [trial.number for trial in surplus])

    def _delete(self, number: str) -> None:
        store, name = self._context.store, self._recipe.registered_model
        version = registry.look_up(store, name, number)
        if version is None or not version.is_trial or version.has_no_files:
            return  # deleted or promoted to a variant since
        if version.stage not in {"None", "Archived"}:
            return  # in use
        delete_files(store, version.tags["model_id"])
        registry.update(store, version, {}, {BYTES: NOT_KEPT})
        echo(f"the bytes of {version.uri} are deleted; to make them again: {command_line('search', rebuild=number)}")


_DELETED = "let_go"
