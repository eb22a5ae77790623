"""The variants of trials in the registry: each a version, the bytes of the best alone kept; the others are made again from their recipe."""

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
from sbert_prune.models.roundtrip import FreshProcess, check_same
from sbert_prune.models.saved_model import SavedModel, lineage_of
from sbert_prune.models.sentence import load_saved
from sbert_prune.registry import version as seal
from sbert_prune.registry import versions as registry
from sbert_prune.registry.version import BYTES, NOT_KEPT, TRIAL, Version
from sbert_prune.tracking.logged_models import add_file, delete_files, fetch_files, log_model, log_without_bytes
from tuning.messages import Failed
from tuning.study import METRICS, VERSION, Held
from tuning.trial import prove

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
    """A complete trial. number: the study's.  values: its objectives, each the better the higher.  size_mb: of its bytes."""

    number: int
    values: tuple[float, ...]
    size_mb: float

    @classmethod
    def of(cls, number: int, values: Sequence[float], metrics: Mapping[str, float], aim: Aim) -> Self:
        """From what the study is told."""
        signs = [1.0 if direction == "maximize" else -1.0 for direction in aim.directions]
        return cls(number, tuple(sign * value for sign, value in zip(signs, values, strict=True)), float(metrics[BYTES_MB]))

    @classmethod
    def held(cls, one: Held, aim: Aim) -> Self:
        """From what the study holds."""
        return cls.of(one.number, one.trial.values, one.say(METRICS), aim)


def dominates(one: Candidate, other: Candidate) -> bool:
    """Whether one is better in something and worse in nothing."""
    return one.values != other.values and all(mine >= theirs for mine, theirs in zip(one.values, other.values, strict=True))


def pareto_front(found: Sequence[Candidate]) -> list[Candidate]:
    """Those that none other dominates."""
    return [one for one in found if not any(dominates(other, one) for other in found)]


def to_keep(found: Sequence[Candidate], limits: Limits) -> frozenset[int]:
    """The numbers of the trials whose bytes are kept: the front, then the best, as long as there is room; the best score comes first."""
    best = sorted(found, key=lambda one: (-one.values[0], one.number))
    front = {one.number for one in pareto_front(found)}
    wanted = [one for place, one in enumerate(best) if place < limits.keep_models or one.number in front]
    kept: list[int] = []
    room_mb = float("inf") if limits.max_gb is None else limits.max_gb * 1000
    for one in wanted:
        if one.size_mb <= room_mb:
            kept.append(one.number)
            room_mb -= one.size_mb
    return frozenset(kept)


@dataclass(frozen=True)
class Made:
    """What a trial has made, and the run that records it."""

    task: Task
    run: Run
    trained: Trained

    @property
    def folder(self) -> Path:
        """Where its model lies."""
        return self.task.folder


def proven(nursery: WorkerPool, made: Made) -> FreshProcess:
    """Load the saved model in a process of its own, and compare. Raises RoundTripError."""
    told = nursery.ask(prove, made.folder)
    if told is None or isinstance(told, Failed):
        raise RoundTripError(f"The variant that was saved cannot be loaded: {told.reason if told else 'the process ended without a word'}")
    found, peak_mb, libraries_mb = told
    return FreshProcess(check_same(made.folder, np.asarray(found), made.trained.probes), peak_mb, libraries_mb)


class ArtifactRetention:
    """Where trials' variants are registered. Registering is what the trials of one command do one after the other."""

    def __init__(self, context: Context, recipe: Recipe, inputs: Inputs, aim: Aim, limits: Limits) -> None:
        self._context, self._recipe, self._inputs, self._aim, self._limits = context, recipe, inputs, aim, limits

    def register(self, made: Made, metrics: dict[str, float], others: Sequence[Candidate], mine: Candidate) -> Version:
        """Make a trial's variant a version; its bytes stay where it is among those to keep."""
        source = SavedModel(str(made.folder), None, inspect_checkpoint(made.folder))
        described, name = lineage_tags(lineage_of(source)), self._recipe.registered_model
        keeps = mine.number in to_keep([*others, mine], self._limits)
        if keeps:
            logged = log_model(made.run, name, load_saved(source.checkpoint), made.folder, described)
            kept = {seal.FILES: seal.digest_of_files(fetch_files(f"models:/{logged}"))}
        else:
            logged = log_without_bytes(made.run, name, made.folder, described)
            kept = {BYTES: NOT_KEPT}
        add_file(self._context.store, logged, FILE_NAME, made.trained.dev_pairs)
        tags = {
            **described,
            **self._keys(made.task.recipe),
            **kept,
            "model_id": logged,
            "model_sha256": source.checkpoint.sha256(),
            "fingerprint": source.checkpoint.fingerprint(),
            seal.DEV_PAIRS: seal.digest_of_text(made.trained.dev_pairs),
            "run_id": made.run.run_id,
            "parent_run_id": self._context.parent.run_id if self._context.parent else made.run.run_id,
            "role": TRIAL,
            "threads": str(made.task.threads),
        }
        draft = Version(name, "", made.run.run_id, "None", tags, metrics)
        return registry.register(self._context.store, draft, logged)

    def _keys(self, recipe: Recipe) -> dict[str, str]:
        """By which `full` finds the same variant; it is held against the search's own reference, whatever its settings."""
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

    def tidy(self, study: Study, found: Sequence[Held]) -> None:
        """Let go of the bytes that are among those to keep no longer."""
        kept = to_keep([Candidate.held(one, self._aim) for one in found], self._limits)
        gone: list[int] = list(study.user_attrs.get(_GONE) or [])
        fresh = [one for one in found if one.number not in kept and one.number not in gone and one.say(VERSION)]
        for one in fresh:
            self._let_go(str(one.say(VERSION)))
        if fresh:
            study.set_user_attr(_GONE, gone + [one.number for one in fresh])

    def _let_go(self, number: str) -> None:
        store, name = self._context.store, self._recipe.registered_model
        version = registry.look_up(store, name, number)
        if version is None or not version.is_trial or version.has_no_files or version.stage not in {"None", "Archived"}:
            return  # deleted since, or of use to somebody
        delete_files(store, version.tags["model_id"])
        registry.update(store, version, {}, {BYTES: NOT_KEPT})
        echo(f"the bytes of {version.uri} are let go; its recipe makes them again: -P rebuild={number}")


_GONE = "delete_files"
