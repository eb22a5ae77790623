"""CMA-ES (Hansen 2016, arXiv 1604.00772) without stored state: what it knows is computed from the study's results.

Optuna's own sampler pickles its state into the study's storage and unpickles what is there, so write access to a shared
database would be enough to run code in every worker.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import numpy as np
from cmaes import CMA
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_FIRST_SPREAD = 1 / 6
"""Standard deviation of the first generation, as a share of a parameter's range; Optuna's own."""


@final
class CmaEsSampler(BaseSampler):
    """Proposes numbers by CMA-ES, and choices at random.

    Each population of finished trials, in the order of their numbers, is one generation, whatever proposed them.
    """

    def __init__(self, seed: int) -> None:
        """Create a sampler that draws by a seed."""
        self._random, self._space = RandomSampler(seed=seed), IntersectionSearchSpace()
        self._seeds = np.random.default_rng(seed)

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002 - as Optuna calls it
    ) -> dict[str, BaseDistribution]:
        """Return the numbers that every finished trial has; CMA-ES needs at least two."""
        space = self._space.calculate(study)
        numbers: dict[str, BaseDistribution] = {
            name: distribution
            for name, distribution in space.items()
            if isinstance(distribution, FloatDistribution | IntDistribution) and not distribution.single()
        }
        return numbers if len(numbers) > 1 else {}

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002 - as Optuna calls it
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return the next point of the current generation."""
        scales = {name: _Scale(distribution) for name, distribution in search_space.items()}
        if not scales:
            return {}
        sign = 1.0 if study.direction == StudyDirection.MINIMIZE else -1.0
        results = [
            (np.array([scale.to_unit(one.params[name]) for name, scale in scales.items()]), sign * one.values[0])
            for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if math.isfinite(one.values[0])
        ]
        bounds = np.tile([0.0, 1.0], (len(scales), 1))
        state = CMA(np.full(len(scales), 0.5), _FIRST_SPREAD, bounds, seed=int(self._seeds.integers(1 << 31)))
        for generation in range(len(results) // state.population_size):
            first = generation * state.population_size
            state.tell(results[first : first + state.population_size])
        return {name: scale.from_unit(value) for (name, scale), value in zip(scales.items(), state.ask(), strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value of a choice, or of a number that not every finished trial has."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


class _Scale:
    """The range of a number, mapped to 0-1: by its logarithm where it is searched by ratios."""

    def __init__(self, distribution: BaseDistribution) -> None:
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        self._distribution = distribution
        self._low, self._high = self._scaled(distribution.low), self._scaled(distribution.high)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._distribution.log else float(value)

    def to_unit(self, value: float) -> float:
        return (self._scaled(value) - self._low) / (self._high - self._low)

    def from_unit(self, share: float) -> float:
        of = self._distribution
        scaled = self._low + float(share) * (self._high - self._low)
        value = math.exp(scaled) if of.log else scaled
        if of.step is not None:
            value = of.low + round((value - of.low) / of.step) * of.step
        value = min(max(value, of.low), of.high)
        return int(value) if isinstance(of, IntDistribution) else value
