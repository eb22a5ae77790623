"""The run of a trial: how it is opened, and how its end is recorded in study, MLflow and registry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from optuna.trial import TrialState

from pipelines.console import echo
from sbert_prune.errors import RoundTripError
from sbert_prune.metrics import LATENCY, SIZE, STS_DEV
from sbert_prune.registry.version import caption
from sbert_prune.tracking.runs import Run, start_run
from tuning.artifacts import Candidate, TrainedTrial, reload_saved
from tuning.messages import Failed, TooLarge, Trained
from tuning.study import METRICS, REASON, RUNG_SCORES, VERSION, stored_trials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from tuning.context import SearchContext
    from tuning.messages import Task
    from tuning.proposals import Requested
    from tuning.study import StoredTrial
    from tuning.workers import WorkerPool

_DIGITS = {SIZE: 2}
"""Digits of an objective: models of the same size differ by a few bytes of `pruning.json`."""


@dataclass(frozen=True, eq=False)
class ActiveTrial:
    """A trial that has a process."""

    request: Requested
    run: Run
    task: Task


class TrialEndings:
    """Records how trials end.

    Args:
        search: What all trials share.
        latencies: Latency of one sentence in ms, by the count of layers; empty where the aim does not use it.
    """

    def __init__(self, search: SearchContext, latencies: Mapping[int, float]) -> None:
        self._search, self._latencies = search, latencies

    def by_record(self, request: Requested, run: Run, earlier: StoredTrial | None) -> None:
        """End a trial that is not trained.

        Args:
            request: The trial.
            run: Its run.
            earlier: The trial of the same recipe; None where the screening rejects it.
        """
        search = self._search
        if earlier is not None and earlier.state == TrialState.COMPLETE:
            search.study.tell(request.trial, list(earlier.trial.values))
            run.log_metrics(dict(zip(search.aim.metrics, earlier.trial.values, strict=True)))
            close_trial_run(run, "COMPLETE", f"the same as trial {earlier.number}, and not trained again")
            return
        search.study.tell(request.trial, state=TrialState.PRUNED)
        reason = f"the same as trial {earlier.number}" if earlier else "below the middle of the screening"
        close_trial_run(run, "PRUNED", reason)

    def by_message(self, pool: WorkerPool, active: ActiveTrial, message: Trained | TooLarge | Failed) -> None:
        """End a trial by the last message of its process."""
        if isinstance(message, Trained):
            try:
                self._complete(pool, active, message)
                return
            except RoundTripError as error:
                message = Failed(str(error))
        if isinstance(message, Failed):
            self._unfinished(active, "FAIL", message.reason)
        else:
            limit = self._search.aim.max_size_mb or math.inf
            self._unfinished(active, "PRUNED", f"{message.size_mb:.1f} MB, over max_size_mb={limit:g}")

    def by_stop(self, active: ActiveTrial) -> None:
        """End a trial that was stopped at a rung."""
        scores = active.request.trial.user_attrs[RUNG_SCORES]
        reason = f"stopped at rung {len(scores)}: dev {scores[-1][0]:.4f} is not in the upper half"
        self._unfinished(active, "PRUNED", reason)

    def _unfinished(self, active: ActiveTrial, state: Literal["PRUNED", "FAIL"], reason: str) -> None:
        trial = active.request.trial
        trial.set_user_attr(REASON, reason)
        self._search.study.tell(trial, state=TrialState[state])
        close_trial_run(active.run, state, reason)
        echo(f"trial {trial.number} {'failed: ' if state == 'FAIL' else ''}{reason}")

    def _complete(self, pool: WorkerPool, active: ActiveTrial, result: Trained) -> None:
        search, trial = self._search, active.request.trial
        trained = TrainedTrial(active.task, active.run, result)
        reloaded = reload_saved(pool, trained)
        metrics = {**result.metrics, **reloaded.metrics()}
        if self._latencies:
            metrics[LATENCY] = self._latencies[active.request.proposal.selection.num_layers]
        active.run.log_series(result.series)
        values = [round(metrics[name], _DIGITS.get(name, 6)) for name in search.aim.metrics]
        others = [Candidate.of_trial(other, search.aim) for other in stored_trials(search.study) if other.is_complete]
        candidate = Candidate.of(trial.number, values, metrics, search.aim)
        version = search.artifacts.register(trained, metrics, others, candidate)
        active.run.log_metrics(metrics, model_id=version.tags["model_id"])
        trial.set_user_attr(METRICS, metrics)
        trial.set_user_attr(VERSION, version.version)
        search.study.tell(trial, values)
        made = {"model": version.uri, "model_id": version.tags["model_id"]}
        close_trial_run(active.run, "COMPLETE", tags=made, text=f"{version.uri}, {caption(version)}")
        seconds = metrics["training/seconds"]
        echo(f"trial {trial.number} dev {metrics[STS_DEV]:.4f} in {seconds:.0f} s of training: {version.uri}")
        complete = [other for other in stored_trials(search.study) if other.is_complete]
        search.artifacts.delete_surplus(search.study, complete)
        if search.context.parent is not None:
            # The step is the number of complete trials: trials do not end in the order of their numbers.
            best = max(other.score for other in complete)
            search.context.parent.log_series([(len(complete), {"search/best_dev": best})])


RECIPE = "recipe.json"
"""The artifact from which a trial can be trained again."""

State = Literal["COMPLETE", "PRUNED", "FAIL", "KILLED"]
"""The state of a trial that has ended: Optuna's, or KILLED where the command was ended."""

_STATUS: dict[State, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "COMPLETE": "FINISHED",
    "PRUNED": "KILLED",  # MLflow has no status for a stopped trial; the tag trial_state has the state
    "FAIL": "FAILED",
    "KILLED": "KILLED",
}


def open_trial_run(context: Context, request: Requested, recipe: Recipe, study: str) -> Run:
    """Open the run of a trial of the study of this name."""
    number, origin, selection = request.trial.number, request.origin, request.proposal.selection
    tags = {
        "step": "trial",
        "trial": str(number),
        "study": study,
        "origin": origin,
        **({"control": "true"} if request.is_control else {}),
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
    params = {f"recipe.{key}": value for key, value in recipe.flat().items()}
    run.log_params(params | {"kept_layers": str(selection)})
    run.log_json(recipe.model_dump(mode="json"), RECIPE)
    return run


def close_trial_run(
    run: Run, state: State, reason: str = "", *, tags: Mapping[str, str] | None = None, text: str = ""
) -> None:
    """Close the run of a trial.

    Args:
        run: The run.
        state: The state of the trial.
        reason: Why it was stopped, has failed, or was not trained.
        tags: Further tags.
        text: The description; the reason where it is left out.
    """
    reason = reason[:500]
    reasons = {"reason": reason} if reason else {}
    errors = {"error": reason} if state == "FAIL" else {}
    run.set_tags({"trial_state": state, **reasons, **errors, **(tags or {})})
    run.describe(text or f"{state.lower()}: {reason}")
    run.end(_STATUS[state])
