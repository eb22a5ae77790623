"""`plan=true`: what a search would train, how long that would take and what it would keep, told without doing it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.flows.plan import disk_lines, estimate_variants, format_duration
from tuning.proposals import controls_of, named_selections
from tuning.screening import EPOCHS
from tuning.study import held, is_there, open_study, study_name

if TYPE_CHECKING:
    from pipelines.inputs.load import Inputs
    from sbert_prune.recipe.recipe import Recipe
    from tuning.settings import Settings
    from tuning.space import Space


def plan_search(recipe: Recipe, inputs: Inputs, space: Space, settings: Settings) -> list[str]:
    """Trials, seconds by some optimizer steps of the deepest cut, disk and what is reused; nothing is trained or recorded."""
    with TemporaryDirectory() as scratch:
        found = estimate_variants([(recipe, inputs)], Path(scratch))
        name = study_name(recipe, inputs, (str(space), str(settings.aim), found.hardware.device.type))
        done, is_screened = _done(name, settings)
        one = sum(seconds for model, seconds in found.seconds.items() if model != "reference")
        further = settings.finalists * (max(2, len(settings.seeds)) - 1)
        left = max(0, settings.trials - done)
        controls = sum(one.is_owed for one in controls_of(space, named_selections(space, {}), settings.trials, recipe.seed))
        shares = settings.screening == "shared" and space.num_selections > 2 and not is_screened
        parts = {
            "the reference": found.seconds.get("reference", 0.0),
            "shared weights": EPOCHS * one if shares else 0.0,
            f"{left} trials": left * one,
            f"{controls} controls, by which the search is measured": controls * one,
            f"{further} trainings of finalists": further * one,
        }
        lines = [
            f"space     {space}",
            f"aim       {settings.aim}",
            f"study     {name}: {done} of {settings.trials} trials are there" if done else f"study     {name}: a new one",
            *found.lines,
            *(f"search    {what}: {format_duration(seconds)}" for what, seconds in parts.items() if seconds),
            f"time      at most {format_duration(sum(parts.values()))} of training on {found.hardware}, one after the other; "
            "most trials are stopped on their way",
            *disk_lines([*found.models, *[found.models[-1]] * max(0, settings.limits.keep_models - 1)]),
        ]
    return ["", *lines, "plan      nothing was trained or recorded; leave plan out to do it"]


def _done(name: str, settings: Settings) -> tuple[int, bool]:
    """How many trials there are, and whether its selections are screened; a study that is not there is not begun for the question."""
    if not is_there(name, settings.storage):
        return 0, False
    study = open_study(name, settings.storage, settings.aim, settings.sampler, 0)
    return sum(one.counts for one in held(study)), "screened" in study.user_attrs
