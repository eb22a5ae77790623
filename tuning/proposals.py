"""Which points are tried, and in which order: those with a name, those that the screening likes, some at random, then the sampler's."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from sbert_prune.strategies import STRATEGIES, choose_layers
from tuning.study import ANSWERED, ORIGIN, RANDOM, SAMPLER, SHARED, enqueue, held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna import Study, Trial

    from sbert_prune.layers import LayerSelection
    from sbert_prune.recipe import Recipe
    from tuning.screening import Screened
    from tuning.space import Proposal, Space

NAMED = tuple(STRATEGIES)
"""The strategies whose trials are the measure of the search: they are never stopped, as those at random are not."""

EVERY = 6
"""One in so many trials is drawn at random, for an honest answer to whether the search was worth it."""

_OF_SCREENING = 6
"""So many of the screening's best are tried before the sampler chooses."""

_PROBES = 6
"""So often the screening's best is tried with other settings, before all else: settings that do not fit spoil every selection alike, and on
one selection a look tells them apart.
"""


@dataclass(frozen=True)
class Asked:
    """A trial of Optuna's, and what it is to try. origin: who proposed it.  is_measure: never stopped, as others are measured by it."""

    trial: Trial
    proposal: Proposal
    origin: str
    is_measure: bool


def named_selections(space: Space, measured: Mapping[str, LayerSelection]) -> dict[str, LayerSelection]:
    """What each strategy keeps of the base; for a range of counts, of its middle one. measured: by those that have looked at the layers."""
    if space.fixed:
        return {}
    count = space.counts[len(space.counts) // 2]
    found = {name: choose_layers(str(count), strategy=name, depth=space.depth) for name in NAMED}
    return {name: one for name, one in {**found, **measured}.items() if one is not None and space.holds(one)}


def fill_queue(study: Study, space: Space, recipe: Recipe, given: tuple[Mapping[str, LayerSelection], Screened | None]) -> None:
    """Propose before the sampler does: what has a name, then the screening's best. given: the names' selections, the screening."""
    named, screened = given
    if space.fixed:
        enqueue(study, "recipe", space.params(space.fixed, recipe))
        return
    liked = _liked(screened)
    for selection in liked[:1]:
        enqueue(study, _by(screened), space.params(selection, recipe))
        for params in space.spread(selection, _PROBES, random.Random(recipe.seed)) if space.axes else []:
            enqueue(study, _by(screened), params)
    for name, selection in named.items():
        enqueue(study, name, space.params(selection, recipe))
    for selection in liked[1:]:
        enqueue(study, _by(screened), space.params(selection, None if space.axes else recipe))


def _liked(screened: Screened | None) -> list[LayerSelection]:
    """The screening's best, best first; none without a screening."""
    return screened.ranked()[:_OF_SCREENING] if screened else []


def _by(screened: Screened | None) -> str:
    """Who proposes them."""
    return SHARED if screened is not None and "shared" in screened.measures else "screening"


class Proposals:
    """Asks the study for the next point; one in EVERY is drawn at random instead of asking the sampler.

    Where settings vary, the sampler chooses them every other time for a selection that the screening likes, and need not find that out.
    """

    def __init__(self, study: Study, space: Space, recipe: Recipe, known: tuple[Mapping[str, LayerSelection], Screened | None]) -> None:
        """known: what each strategy keeps, and the screening."""
        named, screened = known
        self._study, self._space, self._recipe = study, space, recipe
        self._liked, self._by = _liked(screened), _by(screened)
        self._measures = {named[name] for name in NAMED if name in named}
        self._generator = random.Random(f"{recipe.seed} {len(held(study))}")

    def next(self) -> Asked:
        """Ask."""
        if self._is_random_due():
            enqueue(self._study, RANDOM, self._space.params(self._space.draw(self._generator), self._recipe))
        elif self._liked and self._space.axes and not self._is_queued() and self._generator.random() < 0.5:
            place = min(int(self._generator.expovariate(0.7)), len(self._liked) - 1)
            enqueue(self._study, self._by, self._space.params(self._liked[place]), again=True)
        trial = self._study.ask()
        proposal = self._space.suggest(trial)
        origin = str(trial.user_attrs.get(ORIGIN, SAMPLER))
        trial.set_user_attr(ORIGIN, origin)
        return Asked(trial, proposal, origin, origin == RANDOM or (origin != SAMPLER and proposal.selection in self._measures))

    def _is_queued(self) -> bool:
        return any(one.state == TrialState.WAITING for one in held(self._study))

    def _is_random_due(self) -> bool:
        """Only while layers vary: settings at random are no measure of a choice of layers."""
        if self._space.fixed or self._space.num_selections == 1:
            return False
        trained = [one for one in held(self._study) if not one.say(ANSWERED)]
        drawn = len([one for one in trained if one.say(ORIGIN) == RANDOM])
        return drawn < (len(trained) + EVERY // 2) // EVERY
