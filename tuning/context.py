"""What is known when the trials of a search start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from tuning.artifacts import ArtifactRetention
    from tuning.messages import TrainingRows
    from tuning.settings import Aim
    from tuning.space import Space


@dataclass(frozen=True)
class SearchContext:
    """What all trials of a search share.

    Attributes:
        context: Store, hardware and workspace of the command.
        recipe: The recipe that trials start from; they change only what the space varies.
        inputs: The base and the data.
        study: The Optuna study.
        space: The selections of layers and the settings to choose from.
        aim: The objectives and limits.
        rows: The rows that trials train on, with the teacher.
        artifacts: Decides which trials keep their bytes.
    """

    context: Context
    recipe: Recipe
    inputs: Inputs
    study: Study
    space: Space
    aim: Aim
    rows: TrainingRows
    artifacts: ArtifactRetention
