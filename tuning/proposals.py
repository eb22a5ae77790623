"""Which points are tried, and in which order: settings on the screening's best, its other favourites and the strategies', the sampler's."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from sbert_prune.strategies import STRATEGIES, choose_layers
from tuning.asha import furthest_first
from tuning.study import CONTROL, KEPT, ORIGIN, PROBE, SAMPLER, SHARED, enqueue, held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna import Study, Trial

    from sbert_prune.layers import LayerSelection
    from sbert_prune.recipe.recipe import Recipe
    from tuning.screening import Screened
    from tuning.space import Proposal, Space

_OF_SCREENING = 6
"""So many of the screening's best are tried before the sampler chooses."""

_PROBES = 2
"""So often, and so often again for every setting of the first phase, the first selection is tried with others of them, before all else:
settings that do not fit spoil every selection alike, and on one selection the first looks tell them apart.
"""


@dataclass(frozen=True)
class Asked:
    """A trial of Optuna's, and what it is to try. origin: who proposed it.  is_control: never stopped, as the search is measured by it."""

    trial: Trial
    proposal: Proposal
    origin: str
    is_control: bool


def ask(study: Study, space: Space) -> Asked:
    """The next trial: the one that was proposed, else the sampler's."""
    trial = study.ask()
    origin = str(trial.user_attrs.get(ORIGIN, SAMPLER))
    trial.set_user_attr(ORIGIN, origin)
    return Asked(trial, space.suggest(trial), origin, bool(trial.user_attrs.get(CONTROL)))


def named_selections(space: Space, measured: Mapping[str, LayerSelection]) -> dict[str, LayerSelection]:
    """What each strategy keeps of the base; for a range of counts, of its middle one. measured: by those that have looked at the layers."""
    if space.fixed:
        return {}
    count = space.counts[len(space.counts) // 2]
    found = {name: choose_layers(str(count), strategy=name, depth=space.depth) for name in STRATEGIES}
    return {name: one for name, one in {**found, **measured}.items() if one is not None and space.holds(one)}


class Proposals:
    """Asks the study for the next point, until so many trials are trained or in training.

    First one selection, with the recipe's settings and with others of the first phase; then the other favourites, each with the settings
    that did best so far; then the sampler proposes. Where settings vary, it chooses them every other time for one that the screening likes,
    and need not find that out.
    """

    def __init__(
        self, study: Study, space: Space, recipe: Recipe, known: tuple[Mapping[str, LayerSelection], Screened | None, int]
    ) -> None:
        """known: what each strategy keeps, the screening, and how many trials there are to be."""
        named, screened, self._total = known
        self._study, self._space, self._recipe = study, space, recipe
        by = SHARED if screened is not None and "shared" in screened.measures else "screening"
        liked = screened.ranked()[:_OF_SCREENING] if screened is not None else []
        self._liked = [(by, one) for one in liked]
        given = [("recipe", space.fixed)] if space.fixed else []
        self._favourites = [*given, *self._liked, *((name, one) for name, one in named.items() if one not in liked)]
        self._generator = random.Random(f"{recipe.seed} {len(held(study))}")

    def next(self) -> Asked | None:
        """Ask; None where there are enough."""
        trials = held(self._study)
        if sum(one.counts or (one.state == TrialState.RUNNING and not one.is_control) for one in trials) >= self._total:
            return None
        if all(one.state != TrialState.WAITING for one in trials):  # else a trial whose process ended without a word comes first
            self._propose()
        return ask(self._study, self._space)

    def _propose(self) -> None:
        """Say what to try next, or leave it to the sampler."""
        trials = held(self._study)
        probed = len({one.say(PROBE) for one in trials if one.say(PROBE) is not None})
        probes = self._probes()
        if probed < len(probes):
            origin, params = probes[probed]
            enqueue(self._study, origin, params, {PROBE: probed})
            return
        tried = {one.say(KEPT) for one in trials}
        for origin, selection in self._favourites:
            if str(selection) not in tried:
                enqueue(self._study, origin, self._space.params(selection, self._recipe) | self._best_settings())
                return
        if self._liked and self._space.axes and self._generator.random() < 0.5:
            origin, selection = self._liked[min(int(self._generator.expovariate(0.7)), len(self._liked) - 1)]
            enqueue(self._study, origin, self._space.params(selection))

    def _probes(self) -> list[tuple[str, dict[str, Any]]]:
        """The first favourite with the recipe's settings, and with others that cover the ranges."""
        if not self._favourites:
            return []
        origin, selection = self._favourites[0]
        first, axes = self._space.params(selection, self._recipe), self._first_axes()
        others = self._space.spread(axes, _PROBES * (1 + len(axes)), random.Random(self._recipe.seed)) if axes else []
        return [(origin, first), *((origin, first | settings) for settings in others)]

    def _first_axes(self) -> list[str]:
        """What shows at the first looks: the settings of later phases do not, unless they alone vary."""
        paths, later = [path for path, _ in self._space.axes], self._recipe.phases[1:]
        return [path for path in paths if path.partition(".")[0] not in later] or paths

    def _best_settings(self) -> dict[str, Any]:
        """Of the trial that came furthest, and of those the best."""
        found = furthest_first(held(self._study))
        return self._space.settings_of(found[0].trial.params) if found else {}
