"""What the process of a trial is given, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pipelines.inputs.texts import TrainingTexts
    from sbert_prune.models.lineage import DataRecord
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe


@dataclass(frozen=True)
class Rows:
    """What trials read. sentences: for distillation, with their record.  teacher: where somebody teaches."""

    texts: TrainingTexts
    sentences: tuple[list[str], DataRecord] | None
    teacher: SavedModel | None


@dataclass(frozen=True)
class Task:
    """One training. folder: where its model goes.  run_id: of the run that records it.  threads: that it computes with.

    max_size_mb: a larger one ends before it is trained.
    """

    recipe: Recipe
    base: SavedModel
    rows: Rows
    folder: Path
    run_id: str
    threads: int
    max_size_mb: float | None = None


@dataclass(frozen=True)
class Look:
    """What a trial says on its way. number: of the look, from 0.  score: dev, None for a model without any order.  seconds: so far.

    has_room: whether another could be trained beside it while it waits.
    """

    number: int
    score: float | None
    seconds: float
    has_room: bool


@dataclass(frozen=True)
class Trained:
    """What a trial says at its end. series: of metrics, by optimizer step.  dev_pairs: as text.  probes: its embeddings of PROBES."""

    metrics: dict[str, float]
    series: list[tuple[int, dict[str, float]]]
    dev_pairs: str
    probes: NDArray[np.float32]


@dataclass(frozen=True)
class Failed:
    """Why a trial could not be done."""

    reason: str


@dataclass(frozen=True)
class TooLarge:
    """A variant that is over the limit before it is trained."""

    size_mb: float
