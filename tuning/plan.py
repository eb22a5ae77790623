"""`plan=true`: what a search would train, how long that takes and what it keeps; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.flows.plan import disk_lines, estimate_trials
from pipelines.progress import format_duration
from tuning.benefit import MIN_CONTROLS
from tuning.finals import num_missing
from tuning.proposals import SHARE, controls_of, named_selections
from tuning.screening import EPOCHS
from tuning.study import open_study, stored_trials, study_exists, study_name

if TYPE_CHECKING:
    from optuna import Study

    from pipelines.inputs.load import Inputs
    from sbert_prune.recipe.recipe import Recipe
    from tuning.settings import Settings
    from tuning.space import Space


def plan_search(recipe: Recipe, inputs: Inputs, space: Space, settings: Settings) -> list[str]:
    """Return the lines of the plan: trials, seconds, disk space and what is reused.

    Seconds are estimated from some optimizer steps of the deepest selection. Nothing is trained to its end or recorded.
    """
    with TemporaryDirectory() as scratch:
        estimate = estimate_trials(recipe, inputs, Path(scratch))
        device = estimate.hardware.device.type
        name = study_name(recipe, inputs, space=str(space), aim=str(settings.aim), device=device)
        study = _find_study(name, settings)
        num_done = sum(trial.counts for trial in stored_trials(study)) if study is not None else 0
        trial_s = sum(seconds for model, seconds in estimate.seconds.items() if model != "reference")
        trainings = trainings_left(study, space, recipe, settings)
        parts = {"the reference": estimate.seconds.get("reference", 0.0)}
        parts |= {part: number * trial_s for part, number in trainings.items()}
        total_s = sum(parts.values())
        state = f"{num_done} of {settings.trials} trials are there" if num_done else "a new one"
        lines = [
            f"space     {space}",
            f"aim       {settings.aim}",
            f"study     {name}: {state}",
            *(line for line in estimate.lines if total_s or not line.startswith("train ")),
            *(f"search    {part}: {format_duration(seconds)}" for part, seconds in parts.items() if seconds),
            f"time      at most {format_duration(total_s)} of training on {estimate.hardware}, one after "
            "the other; most trials are stopped on their way",
            *disk_lines([*estimate.models, *[estimate.models[-1]] * max(0, settings.limits.keep_models - 1)]),
        ]
    return ["", *lines, "plan      nothing was trained or recorded; leave plan out to do it"]


def trainings_left(study: Study | None, space: Space, recipe: Recipe, settings: Settings) -> dict[str, float]:
    """Return what a search trains besides the reference, and how many trials as long each part is; the trials first.

    Args:
        study: The study; None for a new one.
        space: The space.
        recipe: The recipe that trials start from.
        settings: How to search.
    """
    trials = stored_trials(study) if study is not None else []
    num_left = max(0, settings.trials - sum(trial.counts for trial in trials))
    num_final = _num_final(study, space, recipe, settings, num_left=num_left)
    most = settings.trials // SHARE if settings.controls is None else settings.controls
    chosen = controls_of(space, named_selections(space, {}), most, recipe.seed)
    num_controls = max(0, len(chosen) - sum(trial.is_control and trial.is_complete for trial in trials))
    is_screened = study is not None and "screened" in study.user_attrs
    trains_shared = settings.screening == "shared" and space.num_selections > 2 and not is_screened
    return {
        f"{num_left} trial{'s' * (num_left != 1)}": num_left,
        "shared weights": EPOCHS if trains_shared else 0.0,
        _controls(num_controls, len(chosen), settings): num_controls,
        f"{num_final} training{'s' * (num_final != 1)} of finalists": num_final,
    }


def trainings_line(study: Study, space: Space, recipe: Recipe, settings: Settings) -> str:
    """Return the line that says what a search will train, and how much of it is beyond its trials."""
    (trials, _), *others = trainings_left(study, space, recipe, settings).items()
    parts, lengths = [part for part, length in others if length], sum(length for _, length in others)
    beyond = f"; beyond them {', '.join(parts)}: as long as {lengths:g} trials at most" if parts else ""
    return f"trains    {trials}{beyond}; the reference and the answer too, where they are not there yet"


def _controls(number: int, total: int, settings: Settings) -> str:
    """Return the part of the plan that the controls are.

    Their number is an estimate where it is not given: it is decided when the trials are trained, and the fewer of them
    reach their end, the fewer controls there are.
    """
    estimate = " at most" if settings.controls is None else ""
    purpose = "" if total >= MIN_CONTROLS else f" (the benefit is not measured with fewer than {MIN_CONTROLS})"
    return f"{number} control{'s' * (number != 1)}{estimate}, to measure the benefit{purpose}"


def _find_study(name: str, settings: Settings) -> Study | None:
    """Return the study; None if it does not exist, which is not created."""
    if not study_exists(name, settings.storage):
        return None
    return open_study(name, settings.storage, settings.aim, settings.sampler, 0)


def _num_final(study: Study | None, space: Space, recipe: Recipe, settings: Settings, *, num_left: int) -> int:
    """Return how many trainings of finalists there are: while trials are missing, at most."""
    if settings.aim.against is not None:
        return 0  # the Pareto front is not trained again
    seeds = settings.seeds or (recipe.seed, recipe.seed + 1)
    if study is None or num_left:
        return settings.finalists * (len(seeds) - 1)
    return num_missing(study, space, recipe, settings.finalists, seeds)
