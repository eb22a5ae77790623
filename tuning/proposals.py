"""Which points are tried, and in which order: settings on the screening's best, its other favourites and the strategies', the sampler's."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from sbert_prune.strategies import STRATEGIES, choose_layers
from tuning.asha import furthest_first
from tuning.study import ANSWERED, CONTROL, DIGEST, KEPT, ORIGIN, PROBE, RANDOM, SAMPLER, SHARED, STALE, enqueue, held

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna import Study, Trial

    from sbert_prune.layers import LayerSelection
    from sbert_prune.recipe.recipe import Recipe
    from tuning.screening import Screened
    from tuning.space import Proposal, Space
    from tuning.study import Held

_OF_SCREENING = 6
"""So many of the screening's best are tried before the sampler chooses."""

_PROBES = 2
"""So often, and so often again for every setting of the first phase, the first selection is tried with others of them, before all else:
settings that do not fit spoil every selection alike, and on one selection the first looks tell them apart.
"""


@dataclass(frozen=True)
class Requested:
    """A trial of Optuna's, and what it is to try. origin: who proposed it.  is_control: never stopped, as the search is measured by it."""

    trial: Trial
    proposal: Proposal
    origin: str
    is_control: bool


def ask(study: Study, space: Space) -> Requested:
    """The next trial: the one that was proposed, else the sampler's."""
    trial = study.ask()
    origin = str(trial.user_attrs.get(ORIGIN, SAMPLER))
    trial.set_user_attr(ORIGIN, origin)
    return Requested(trial, space.suggest(trial), origin, bool(trial.user_attrs.get(CONTROL)))


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

    def next(self) -> Requested | None:
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

    def next(self) -> Requested | None:
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
