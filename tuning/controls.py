"""What a search is measured by: the layers of every named strategy, and some at random, healed as its best trial is."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from sbert_prune.strategies import STRATEGIES
from tuning.asha import furthest_first
from tuning.proposals import Asked, ask
from tuning.study import ANSWERED, CONTROL, DIGEST, RANDOM, STALE, enqueue, held

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna import Study

    from sbert_prune.layers import LayerSelection
    from sbert_prune.recipe.recipe import Recipe
    from tuning.space import Space
    from tuning.study import Held

_EVERY = 6
_FEWEST = 3
"""One random selection for so many trials, and so many at least: from these on, their spread can be told."""


@dataclass(frozen=True)
class Control:
    """A selection that needs no search. origin: the strategy, or "random"."""

    origin: str
    selection: LayerSelection

    @property
    def is_owed(self) -> bool:
        """Whether it is trained for the comparison alone: the picks of measured strategies are told where they were trained as trials."""
        return self.origin == RANDOM or self.origin in STRATEGIES


def controls_of(space: Space, named: Mapping[str, LayerSelection], trials: int, seed: int) -> tuple[Control, ...]:
    """Those of a space; none where there is no choice of layers. named: what strategies keep.  trials: of the search."""
    if space.num_selections == 1:
        return ()
    generator, wanted = random.Random(f"controls {seed}"), min(max(_FEWEST, trials // _EVERY), space.num_selections)
    drawn: dict[LayerSelection, None] = {}
    while len(drawn) < wanted:
        drawn[space.draw(generator)] = None
    return (*(Control(name, one) for name, one in named.items()), *(Control(RANDOM, one) for one in drawn))


class Controls:
    """Asks the study for one control after the other; those with the very same recipe as a trial that was trained are there already."""

    def __init__(self, study: Study, space: Space, recipe: Recipe, controls: Sequence[Control]) -> None:
        self._study, self._space, self._recipe, self._controls = study, space, recipe, controls
        trained = [one for one in held(study) if one.is_complete and not one.is_control]
        self._settings = space.settings_of(furthest_first(trained)[0].trial.params) if trained else {}
        self._is_idle = not trained

    def next(self) -> Asked | None:
        """Ask; None where all are trained, or in training."""
        if any(one.state == TrialState.WAITING for one in held(self._study)):
            return ask(self._study, self._space)  # whose process ended without a word
        owed = [one for one in self._controls if one.is_owed and not self._is_idle]
        missing = next((one for one in owed if self._trial_of(one) is None), None)
        if missing is None:
            return None
        enqueue(self._study, missing.origin, self._params(missing), {CONTROL: True})
        return ask(self._study, self._space)

    def scores(self) -> tuple[dict[str, Held], list[Held]]:
        """The trained ones: by the strategy's name, and those at random."""
        found = [(one.origin, trial) for one in self._controls if (trial := self._trial_of(one)) is not None and trial.is_complete]
        return {origin: trial for origin, trial in found if origin != RANDOM}, [trial for origin, trial in found if origin == RANDOM]

    def _trial_of(self, control: Control) -> Held | None:
        """The trial that answers for a control: what failed is not tried again, what was stopped as a trial is."""
        digest = self._space.point(self._params(control)).recipe(self._recipe).digest
        same = [one for one in held(self._study) if one.say(DIGEST) == digest and not one.say(ANSWERED) and not one.say(STALE)]
        return next((one for one in same if one.is_control or one.state != TrialState.PRUNED), None)

    def _params(self, control: Control) -> dict[str, Any]:
        return self._space.params(control.selection) | self._settings
