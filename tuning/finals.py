"""From trials to the answer: the best few trained with further seeds, one recipe chosen by dev, judged and registered as any variant is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from pipelines.console import echo
from pipelines.flows.full import make_variant
from pipelines.inputs.base import find_base
from sbert_prune.errors import SearchError, TrainingError
from sbert_prune.evaluation.frontier import find_knee
from sbert_prune.metrics import STS_DEV
from sbert_prune.registry import promotion
from sbert_prune.registry.history import PRODUCTION, STAGING
from sbert_prune.tracking.runs import open_run
from tuning.artifacts import Candidate, pareto_front
from tuning.messages import Task
from tuning.study import held
from tuning.workers import WorkerPool, train_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna import Study

    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from tuning.context import SearchContext
    from tuning.study import Held

_NOTED = "finals"

_CLOSE = 0.02
"""Of dev Spearman: what lies further below the best than seeds deviate is no finalist."""


@dataclass(frozen=True)
class Finalist:
    """One of the best trials. scores: dev, by seed.  seconds: of training, beyond the trial's own."""

    trial: Held
    recipe: Recipe
    scores: dict[int, float]
    seconds: float

    @property
    def mean(self) -> float:
        """Dev score over the seeds."""
        return fmean(self.scores.values())


def run_finals(bench: SearchContext, count: int, seeds: Sequence[int]) -> list[Finalist]:
    """Train those of the best that seeds may decide between, best mean first; where two objectives are weighed, the Pareto front, as it is.

    Raises SearchError where no trial was trained to its end.
    """
    complete = [one for one in held(bench.study) if one.is_complete]
    if not complete:
        raise SearchError(
            "No trial was trained to its end, so there is nothing to choose. Give more trials; stopped ones say why they were."
        )
    if bench.aim.against is not None:
        front = {one.number for one in pareto_front([Candidate.held(one, bench.aim) for one in complete])}
        return [_as_it_is(one, bench) for one in complete if one.number in front]
    ranked = sorted(complete, key=lambda one: (-one.score, one.number))
    best = [one for one in ranked[:count] if one.score > ranked[0].score - _CLOSE]
    with WorkerPool() as nursery:
        found = [_with_seeds(bench, nursery, one, seeds) for one in best]
    return sorted(found, key=lambda one: -one.mean)


def _as_it_is(one: Held, bench: SearchContext) -> Finalist:
    recipe = bench.space.point(one.trial.params).recipe(bench.recipe)
    return Finalist(one, recipe, {recipe.seed: one.score}, 0.0)


def _with_seeds(bench: SearchContext, nursery: WorkerPool, one: Held, seeds: Sequence[int]) -> Finalist:
    """What a trial's recipe comes to with each seed; what was trained before is remembered by the study."""
    finalist = _as_it_is(one, bench)
    scores, seconds = dict(finalist.scores), 0.0
    for seed in seeds:
        if seed in scores:
            continue
        recipe = finalist.recipe.with_seed(seed)
        known = _known(bench.study, recipe)
        if known is None:
            known = _train(bench, nursery, one, recipe)
        if known:
            scores[seed], seconds = known[0], seconds + known[1]
    return replace(finalist, scores=scores, seconds=seconds)


def _known(study: Study, recipe: Recipe) -> list[float] | None:
    return dict(study.user_attrs.get(_NOTED) or {}).get(recipe.digest)


def _train(bench: SearchContext, nursery: WorkerPool, one: Held, recipe: Recipe) -> list[float]:
    """Score and seconds of one further seed; nothing where its training fails, which is recorded."""
    tags = {
        "step": "finalist",
        "trial": str(one.number),
        "kept_layers": recipe.layers,
        "seed": str(recipe.seed),
        "recipe_digest": recipe.digest,
    }
    echo(f"finalist trial {one.number}, seed {recipe.seed}: layers {recipe.layers}")
    try:
        with open_run(bench.context.store, f"finalist {one.number} seed {recipe.seed}", tags, parent=bench.context.parent) as run:
            folder = bench.context.workspace / f"alone-{recipe.digest}"
            trained = train_alone(nursery, Task(recipe, bench.inputs.pruning.base, bench.rows, folder, run.run_id, torch.get_num_threads()))
            run.log_series(trained.series)
            run.log_metrics(trained.metrics)
    except TrainingError as error:
        echo(f"finalist trial {one.number}, seed {recipe.seed} failed: {error}")
        return []
    finally:
        for left in bench.context.workspace.glob("alone-*"):
            shutil.rmtree(left, ignore_errors=True)
    found = [trained.metrics[STS_DEV], trained.metrics["training/seconds"]]
    bench.study.set_user_attr(_NOTED, {**(bench.study.user_attrs.get(_NOTED) or {}), recipe.digest: found})
    return found


def choose(finalists: Sequence[Finalist], bench: SearchContext) -> tuple[Finalist, str]:
    """The one to make, and why: the best mean, or where two objectives are weighed the knee of the front."""
    if bench.aim.against is None:
        chosen = finalists[0]
        seeds = f" over {len(chosen.scores)} seeds" if len(chosen.scores) > 1 else ""
        others = f", the best of {len(finalists)} finalists" if len(finalists) > 1 else "; no other trial came near it"
        return chosen, f"its dev score{seeds}{others}"
    place = find_knee([one.trial.trial.values[1] for one in finalists], [one.trial.score for one in finalists])
    if place is not None:
        return finalists[place], f"the knee of the Pareto front of dev score against {bench.aim.against}"
    return max(finalists, key=lambda one: one.trial.score), "the best dev score of the Pareto front, which has no knee"


def make_answer(bench: SearchContext, chosen: Finalist) -> tuple[Version, Version]:
    """Make the variant as `full` does, which judges it once and for all; a trial whose bytes are kept is judged, not trained again."""
    inputs = replace(bench.inputs, pruning=replace(find_base(chosen.recipe), texts=bench.inputs.texts))
    return make_variant(bench.context, chosen.recipe, inputs)


def make_challenger(bench: SearchContext, version: Version, why: str) -> str:
    """Give the answer the stage Staging and the alias challenger, unless it is in production already. Returns a line for people."""
    store = bench.context.store
    promotion.catch_up(store, version.name)
    now = promotion.holder(store, version.name, PRODUCTION)
    if now is not None and now.version == version.version:
        return f"{version.uri} is in Production already"
    numbers = {name: version.metrics[name] for name in (STS_DEV,) if name in version.metrics}
    moved = promotion.promote(store, version, STAGING, f"{why}; study {bench.study.study_name}", numbers)
    before = f", instead of version {moved.before}" if moved.before not in (None, version.version) else ""
    return f"{version.uri} is the challenger now{before}"
