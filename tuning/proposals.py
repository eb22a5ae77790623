"""The points to try and their order: the favourites of screening and strategies, then the sampler, then controls."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import zip_longest
from statistics import fmean
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from sbert_prune.strategies import STRATEGIES, choose_layers
from sbert_prune.system.processes import Process
from tuning.asha import furthest_first
from tuning.study import (
    ANSWERED,
    CONTROL,
    DIGEST,
    KEPT_LAYERS,
    ORIGIN,
    PROBE,
    PROCESS,
    RANDOM,
    SAMPLER,
    SHARED,
    STALE,
    enqueue,
    exceeds,
    give_up,
    stored_trials,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna import Study, Trial

    from sbert_prune.layers import LayerSelection
    from sbert_prune.recipe.recipe import Recipe
    from tuning.screening import Screened
    from tuning.space import Proposal, Space
    from tuning.study import StoredTrial

_FROM_SCREENING = 6
"""How many of the screening's best selections are tried before the sampler proposes."""

_PROBES = 2
"""How many probes there are, and how many more for each setting of the first phase.

A probe tries the first selection with other settings, before all else: settings that do not fit make every selection
worse alike, and the first rungs of one selection show that.
"""


@dataclass(frozen=True)
class Requested:
    """One of Optuna's trials and what it tries.

    Attributes:
        trial: Optuna's trial.
        proposal: The point to try.
        origin: What proposed it.
        is_control: Whether the search is compared with it, so that it is never stopped.
    """

    trial: Trial
    proposal: Proposal
    origin: str
    is_control: bool


def request_trial(study: Study, space: Space) -> Requested:
    """Return the next trial: a queued one, else one of the sampler's."""
    trial = study.ask()
    trial.set_user_attr(PROCESS, str(Process.current()))
    origin = str(trial.user_attrs.get(ORIGIN, SAMPLER))
    trial.set_user_attr(ORIGIN, origin)
    return Requested(trial, space.suggest(trial), origin, bool(trial.user_attrs.get(CONTROL)))


def named_selections(space: Space, measured: Mapping[str, LayerSelection]) -> dict[str, LayerSelection]:
    """Return what each strategy keeps of the base; for a range of counts, of its middle one.

    Args:
        space: Selections outside it are left out.
        measured: The selections of the strategies that measure the layers.
    """
    if space.fixed:
        return {}
    count = space.counts[len(space.counts) // 2]
    by_position = {name: choose_layers(str(count), strategy=name, depth=space.depth) for name in STRATEGIES}
    selections = {**by_position, **measured}
    return {
        name: selection for name, selection in selections.items() if selection is not None and space.contains(selection)
    }


class Proposals:
    """Requests the next point from the study, until enough trials are trained or in training.

    First one selection, with the recipe's settings and with others of the first phase. Then the other favourites, each
    with the settings that did best so far. Then the sampler proposes; where settings vary, it chooses them every other
    time for one of the screening's best selections, which it need not discover itself.
    """

    def __init__(
        self,
        study: Study,
        space: Space,
        recipe: Recipe,
        *,
        named: Mapping[str, LayerSelection],
        screened: Screened | None,
        total: int,
    ) -> None:
        """Rank the favourites.

        Args:
            study: The study.
            space: The space to choose from.
            recipe: The recipe that trials start from.
            named: What each strategy keeps.
            screened: The scores of the screening; None without one.
            total: How many trials to train.
        """
        self._study, self._space, self._recipe, self._total = study, space, recipe, total
        origin = SHARED if screened is not None and "shared" in screened.measures else "screening"
        best = screened.ranked()[:_FROM_SCREENING] if screened is not None else []
        fixed = [("recipe", space.fixed)] if space.fixed else []
        others = [(name, selection) for name, selection in named.items() if selection not in best]
        self._from_screening = [(origin, selection) for selection in best]
        self._favourites = [*fixed, *self._from_screening, *others]
        self._generator = random.Random(f"{recipe.seed} {len(stored_trials(study))}")

    def next(self) -> Requested | None:
        """Return the next trial; None where there are enough."""
        trials = stored_trials(self._study)
        in_training = [trial for trial in trials if trial.state == TrialState.RUNNING and not trial.is_control]
        if sum(trial.counts for trial in trials) + len(in_training) >= self._total:
            return None
        if all(trial.state != TrialState.WAITING for trial in trials):  # queued: a trial whose process has ended
            self._propose()
        requested = request_trial(self._study, self._space)
        if exceeds(self._study, requested.trial.number, self._total):
            give_up(self._study, requested.trial)
            return None
        return requested

    def _propose(self) -> None:
        """Queue what to try next, or leave it to the sampler."""
        trials = stored_trials(self._study)
        num_probed = len({trial.attribute(PROBE) for trial in trials if trial.attribute(PROBE) is not None})
        probes = self._probes()
        if num_probed < len(probes):
            origin, params = probes[num_probed]
            enqueue(self._study, origin, params, {PROBE: num_probed})
            return
        tried = {trial.attribute(KEPT_LAYERS) for trial in trials}
        for origin, selection in self._favourites:
            if str(selection) not in tried:
                params = self._space.params(selection, self._recipe) | self._best_settings()
                enqueue(self._study, origin, params)
                return
        if self._from_screening and self._space.axes and self._generator.random() < 0.5:
            rank = min(int(self._generator.expovariate(0.7)), len(self._from_screening) - 1)
            origin, selection = self._from_screening[rank]
            enqueue(self._study, origin, self._space.params(selection))

    def _probes(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the first favourite with the recipe's settings, and with others that cover the ranges."""
        if not self._favourites:
            return []
        origin, selection = self._favourites[0]
        first, axes = self._space.params(selection, self._recipe), self._first_axes()
        generator = random.Random(self._recipe.seed)
        others = self._space.spread(axes, _PROBES * (1 + len(axes)), generator) if axes else []
        return [(origin, first), *((origin, first | settings) for settings in others)]

    def _first_axes(self) -> list[str]:
        """Return the settings whose effect shows at the first rungs.

        Those of later phases are left out, unless they alone vary.
        """
        paths, later = [path for path, _ in self._space.axes], self._recipe.phases[1:]
        return [path for path in paths if path.partition(".")[0] not in later] or paths

    def _best_settings(self) -> dict[str, Any]:
        """Return the settings of the best of the trials that came furthest."""
        ranked = furthest_first(stored_trials(self._study))
        return self._space.settings_of(ranked[0].trial.params) if ranked else {}


SHARE = 5
"""By default, controls take at most a fifth of the trials' training time."""

_STRONGEST = ("drop-alternate", "drop-top")
"""The strategies that did best in docs/results.md: few controls include the most serious rivals."""


@dataclass(frozen=True)
class Control:
    """A selection that needs no search: of a strategy, or drawn at random.

    Attributes:
        origin: The strategy, or "random".
        selection: The layers that it keeps.
    """

    origin: str
    selection: LayerSelection


def controls_of(space: Space, named: Mapping[str, LayerSelection], count: int, seed: int) -> tuple[Control, ...]:
    """Return the controls to train, in this order; none where there is no choice of layers.

    Random draws and strategies by place take turns and a draw is first, so that any three have two draws and a
    strategy: a single draw has no deviation. A larger count continues the same order.

    Args:
        space: The space.
        named: What each strategy keeps; those that measure the layers are not trained as controls.
        count: How many controls there are at most.
        seed: Seed of the random draws.
    """
    if space.num_selections == 1:
        return ()
    generator = random.Random(f"controls {seed}")
    drawn: dict[LayerSelection, None] = {}
    while len(drawn) < min(count, space.num_selections):
        drawn[space.draw(generator)] = None
    draws = [Control(RANDOM, selection) for selection in drawn]
    by_place = [name for name in dict.fromkeys((*_STRONGEST, *STRATEGIES)) if name in named]
    strategies = [Control(name, named[name]) for name in by_place]
    turns = (control for turn in zip_longest(draws, strategies) for control in turn if control is not None)
    return tuple(turns)[:count]


class Controls:
    """Requests one control after the other, with the settings of the best trial.

    A control with the same recipe as a trained trial is not trained again.
    """

    def __init__(
        self, study: Study, space: Space, recipe: Recipe, named: Mapping[str, LayerSelection], *, count: int | None
    ) -> None:
        """Choose the controls.

        Their number depends on the trials alone, so that a search that is resumed chooses the same.

        Args:
            study: The study, with all trials trained.
            space: The space.
            recipe: The recipe that trials start from.
            named: What each strategy keeps.
            count: How many to train; None for as many as fit into a fifth of the trials' training time.
        """
        self._study, self._space, self._recipe, self._named = study, space, recipe, named
        trained = [trial for trial in stored_trials(study) if trial.is_complete and not trial.is_control]
        self._settings = space.settings_of(furthest_first(trained)[0].trial.params) if trained else {}
        number = 0 if not trained else count if count is not None else self._affordable()
        self.chosen = controls_of(space, named, number, recipe.seed)

    def _affordable(self) -> int:
        """Return how many controls fit into a fifth of the trials' training time.

        A control takes as long as a complete trial does on average. Controls with other settings, those of the best
        before more trials were added, have used up their part.
        """
        trials = stored_trials(self._study)
        counted = [trial for trial in trials if trial.counts]
        control_s = fmean(trial.seconds for trial in counted if trial.is_complete)
        others = [trial for trial in trials if trial.is_control and trial.attribute(DIGEST)]
        spent_s = sum(
            trial.seconds
            for trial in others
            if trial.attribute(DIGEST) != self._digest(self._space.point(trial.trial.params).selection)
        )
        left_s = sum(trial.seconds for trial in counted) - SHARE * spent_s
        return max(0, int(left_s / (SHARE * control_s))) if control_s > 0 else 0

    def next(self) -> Requested | None:
        """Return the next control; None where all are trained or in training."""
        if self.chosen and any(trial.state == TrialState.WAITING for trial in stored_trials(self._study)):
            return request_trial(self._study, self._space)  # queued again, as its process has ended
        missing = next((control for control in self.chosen if self._trial_of(control.selection) is None), None)
        if missing is None:
            return None
        enqueue(self._study, missing.origin, self._params(missing.selection), {CONTROL: True})
        return request_trial(self._study, self._space)

    def scores(self) -> tuple[dict[str, StoredTrial], list[StoredTrial]]:
        """Return the complete trials of what needs no search: by the strategy's name, and those drawn at random.

        The strategies that were not chosen as controls, those that measure the layers too, are included where a trial
        has trained their selection with the same settings. Draws that an earlier command has trained are included.
        """
        named = {name: self._trial_of(selection) for name, selection in self._named.items()}
        drawn = [control.selection for control in self.chosen if control.origin == RANDOM]
        for trial in stored_trials(self._study):
            if trial.is_control and trial.is_complete and trial.attribute(ORIGIN) == RANDOM:
                drawn.append(self._space.point(trial.trial.params).selection)
        draws = [self._trial_of(selection) for selection in dict.fromkeys(drawn)]
        return (
            {name: trial for name, trial in named.items() if trial is not None and trial.is_complete},
            [trial for trial in draws if trial is not None and trial.is_complete],
        )

    def _trial_of(self, selection: LayerSelection) -> StoredTrial | None:
        """Return the trial of a selection with the settings of the best trial.

        A control that failed is not tried again; a trial that was stopped does not stand for its control.
        """
        digest = self._digest(selection)
        same = [
            trial
            for trial in stored_trials(self._study)
            if trial.attribute(DIGEST) == digest and not trial.attribute(ANSWERED) and not trial.attribute(STALE)
        ]
        return next((trial for trial in same if trial.is_control or trial.state != TrialState.PRUNED), None)

    def _digest(self, selection: LayerSelection) -> str:
        return self._space.point(self._params(selection)).recipe(self._recipe).digest

    def _params(self, selection: LayerSelection) -> dict[str, Any]:
        return self._space.params(selection) | self._settings
