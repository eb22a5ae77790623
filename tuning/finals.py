"""The finals: the best trials are trained with further seeds, and one recipe becomes the answer."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from pipelines.console import echo
from pipelines.flows.full import Made, make_variant
from pipelines.inputs.base import find_base
from sbert_prune.errors import SearchError, TrainingError
from sbert_prune.evaluation.frontier import find_knee
from sbert_prune.metrics import STS_DEV
from sbert_prune.registry import promotion
from sbert_prune.registry.history import PRODUCTION, STAGING
from sbert_prune.registry.listing import list_all
from sbert_prune.registry.version import figures
from sbert_prune.tracking.runs import open_run
from tuning.artifacts import Candidate, pareto_front
from tuning.messages import Task
from tuning.study import stored_trials
from tuning.workers import WorkerPool, train_to_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna import Study

    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from tuning.context import SearchContext
    from tuning.settings import Aim
    from tuning.space import Space
    from tuning.study import StoredTrial

_FINALS = "finals"
"""The key under which the study stores score and seconds, by the digest of the recipe."""

_MARGIN = 0.02
"""In dev Spearman: a trial further below the best than seeds deviate is no finalist."""


@dataclass(frozen=True)
class Finalist:
    """One of the best trials.

    Attributes:
        trial: The trial.
        recipe: Its recipe.
        scores: Dev scores, by seed.
        seconds: Seconds of training, without the trial's own.
    """

    trial: StoredTrial
    recipe: Recipe
    scores: dict[int, float]
    seconds: float

    @property
    def mean(self) -> float:
        """Return the mean dev score over the seeds."""
        return fmean(self.scores.values())


def run_finals(search: SearchContext, count: int, seeds: Sequence[int]) -> list[Finalist]:
    """Train the best trials with further seeds and return them, best mean first.

    With two objectives, the finalists are the Pareto front, which is not trained again.

    Args:
        search: What all trials share.
        count: How many finalists there are at most.
        seeds: The seeds to train with.

    Raises:
        SearchError: No trial was trained to its end.
    """
    complete = [trial for trial in stored_trials(search.study) if trial.is_complete]
    if not complete:
        raise SearchError(
            "No trial was trained to its end, so there is nothing to choose. Give more trials; stopped ones say why "
            "they were."
        )
    if search.aim.against is not None:
        front = pareto_front([Candidate.of_trial(trial, search.aim) for trial in complete])
        numbers = {candidate.number for candidate in front}
        return [_untrained(trial, search) for trial in complete if trial.number in numbers]
    with WorkerPool() as pool:
        finalists = [_with_seeds(search, pool, trial, seeds) for trial in _best(complete, count)]
    return sorted(finalists, key=lambda finalist: -finalist.mean)


def _best(complete: Sequence[StoredTrial], count: int) -> list[StoredTrial]:
    ranked = sorted(complete, key=lambda trial: (-trial.score, trial.number))
    return [trial for trial in ranked[:count] if trial.score > ranked[0].score - _MARGIN]


def num_missing(study: Study, space: Space, recipe: Recipe, count: int, seeds: Sequence[int]) -> int:
    """Return how many trainings the finals of a study lack. The arguments are those of the search."""
    complete = [trial for trial in stored_trials(study) if trial.is_complete]
    recipes = [space.point(trial.trial.params).recipe(recipe) for trial in _best(complete, count)]
    return sum(
        seed != finalist.seed and _stored(study, finalist.with_seed(seed)) is None
        for finalist in recipes
        for seed in seeds
    )


def _untrained(trial: StoredTrial, search: SearchContext) -> Finalist:
    """Return a trial as a finalist with its own seed alone."""
    recipe = search.space.point(trial.trial.params).recipe(search.recipe)
    return Finalist(trial, recipe, {recipe.seed: trial.score}, 0.0)


def _with_seeds(search: SearchContext, pool: WorkerPool, trial: StoredTrial, seeds: Sequence[int]) -> Finalist:
    """Train a trial's recipe with each seed that the study has no score for."""
    finalist = _untrained(trial, search)
    scores, seconds = dict(finalist.scores), 0.0
    for seed in seeds:
        if seed in scores:
            continue
        recipe = finalist.recipe.with_seed(seed)
        result = _stored(search.study, recipe)
        if result is None:
            result = _train(search, pool, trial, recipe)
        if result:
            scores[seed], seconds = result[0], seconds + result[1]
    return replace(finalist, scores=scores, seconds=seconds)


def _stored(study: Study, recipe: Recipe) -> list[float] | None:
    return dict(study.user_attrs.get(_FINALS) or {}).get(recipe.digest)


def _train(search: SearchContext, pool: WorkerPool, trial: StoredTrial, recipe: Recipe) -> list[float]:
    """Return score and seconds of one further seed; an empty list where its training fails, which is recorded."""
    tags = {
        "step": "finalist",
        "trial": str(trial.number),
        "kept_layers": recipe.layers,
        "seed": str(recipe.seed),
        "recipe_digest": recipe.digest,
    }
    echo(f"finalist trial {trial.number}, seed {recipe.seed}: layers {recipe.layers}")
    name = f"finalist {trial.number} seed {recipe.seed}"
    try:
        with open_run(search.context.store, name, tags, parent=search.context.parent) as run:
            task = Task(
                recipe=recipe,
                base=search.inputs.pruning.base,
                rows=search.rows,
                folder=search.context.workspace / f"alone-{recipe.digest}",
                run_id=run.run_id,
                threads=torch.get_num_threads(),
            )
            trained = train_to_end(pool, task)
            run.log_series(trained.series)
            run.log_metrics(trained.metrics)
            run.describe(f"trial {trial.number} with seed {recipe.seed}: {figures(trained.metrics)}")
    except TrainingError as error:
        echo(f"finalist trial {trial.number}, seed {recipe.seed} failed: {error}")
        return []
    finally:
        for folder in search.context.workspace.glob("alone-*"):
            shutil.rmtree(folder, ignore_errors=True)
    result = [trained.metrics[STS_DEV], trained.metrics["training/seconds"]]
    search.study.set_user_attr(_FINALS, {**(search.study.user_attrs.get(_FINALS) or {}), recipe.digest: result})
    return result


def choose(finalists: Sequence[Finalist], aim: Aim) -> tuple[Finalist, str]:
    """Return the answer and the reason: the best mean, or with two objectives the knee of the Pareto front."""
    if aim.against is None:
        chosen = finalists[0]
        seeds = f" over {len(chosen.scores)} seeds" if len(chosen.scores) > 1 else ""
        if len(finalists) > 1:
            return chosen, f"its dev score{seeds}, the best of {len(finalists)} finalists"
        return chosen, f"its dev score{seeds}; no other trial came near it"
    costs = [finalist.trial.trial.values[1] for finalist in finalists]
    knee = find_knee(costs, [finalist.trial.score for finalist in finalists])
    if knee is not None:
        return finalists[knee], f"the knee of the Pareto front of dev score against {aim.against}"
    best = max(finalists, key=lambda finalist: finalist.trial.score)
    return best, "the best dev score of the Pareto front, which has no knee"


def make_answer(search: SearchContext, chosen: Finalist) -> Made:
    """Make the variant as `full` does, which evaluates it once; a trial that has its bytes is not trained again."""
    inputs = replace(search.inputs, pruning=replace(find_base(chosen.recipe), texts=search.inputs.texts))
    return make_variant(search.context, chosen.recipe, inputs)


def make_challenger(search: SearchContext, version: Version, why: str) -> str:
    """Give the answer the stage Staging and the alias challenger, unless it is in production already.

    Returns:
        A line for the user.
    """
    store = search.context.store
    listing = list_all(store, version.name)
    promotion.catch_up(store, listing)
    champion = promotion.holder(store, version.name, PRODUCTION)
    if champion is not None and champion.version == version.version:
        return f"{version.uri} is in Production already"
    numbers = {name: version.metrics[name] for name in (STS_DEV,) if name in version.metrics}
    moved = promotion.promote(
        store, listing, version, STAGING, reason=f"{why}; study {search.study.study_name}", numbers=numbers
    )
    before = f", instead of version {moved.before}" if moved.before not in (None, version.version) else ""
    return f"{version.uri} is the challenger now{before}"
