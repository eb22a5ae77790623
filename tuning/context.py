"""What all trials of a search share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.layers import LayerSelection
    from sbert_prune.recipe.recipe import Recipe
    from tuning.artifacts import ArtifactRetention
    from tuning.messages import Rows
    from tuning.settings import Aim
    from tuning.space import Space


@dataclass(frozen=True)
class SearchContext:
    """What all trials of a search share. recipe: from which trials differ in what the space varies.  named: what each strategy keeps.

    lower_half: selections that the screening ranks below the middle.  latencies: of one sentence in ms, by the count of layers.
    """

    context: Context
    recipe: Recipe
    inputs: Inputs
    study: Study
    space: Space
    aim: Aim
    rows: Rows
    shelf: ArtifactRetention
    named: dict[str, LayerSelection]
    lower_half: frozenset[str]
    latencies: dict[int, float]
