"""One MLflow run a trial, and no more: opened when the trial begins, ended by what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sbert_prune.tracking.runs import Run, start_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from tuning.proposals import Asked

RECIPE = "recipe.json"
"""The artifact by which a trial can be made again."""

State = Literal["COMPLETE", "PRUNED", "FAIL", "KILLED"]
"""What becomes of a trial: Optuna's word, or KILLED where the command was ended."""

_STATUS: dict[State, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "COMPLETE": "FINISHED",
    "PRUNED": "KILLED",  # MLflow has no word for a trial that was stopped: the tag trial_state says it
    "FAIL": "FAILED",
    "KILLED": "KILLED",
}


def begin(context: Context, asked: Asked, recipe: Recipe, study: str) -> Run:
    """Open a trial's run. study: its name."""
    number, origin, selection = asked.trial.number, asked.origin, asked.proposal.selection
    tags = {
        "step": "trial",
        "trial": str(number),
        "study": study,
        "origin": origin,
        **({"control": "true"} if asked.is_control else {}),
        "kept_layers": str(selection),
        "depth": str(selection.depth),
        "num_layers": str(selection.num_layers),
        "strategy": origin,
        "base": recipe.base_model,
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "seed": str(recipe.seed),
    }
    run = start_run(context.store, f"trial {number} layers {selection} {origin}", tags, parent=context.parent)
    run.log_params({f"recipe.{key}": value for key, value in recipe.flat().items()} | {"kept_layers": str(selection)})
    run.log_json(recipe.model_dump(mode="json"), RECIPE)
    return run


def end(run: Run, state: State, reason: str = "", *, tags: Mapping[str, str] | None = None) -> None:
    """Close it truthfully. reason: why it was stopped, has failed, or was answered without training."""
    told = {"reason": reason[:500]} if reason else {}
    run.set_tags({"trial_state": state, **told, **({"error": reason[:500]} if state == "FAIL" else {}), **(tags or {})})
    run.end(_STATUS[state])
