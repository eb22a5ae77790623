"""How a trial ends: told to the study, recorded on its run, and what it made registered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from optuna.trial import TrialState

from pipelines.console import echo
from sbert_prune.errors import RoundTripError
from sbert_prune.metrics import STS_DEV
from sbert_prune.registry.policy import LATENCY, SIZE
from sbert_prune.tracking.runs import Run, start_run
from tuning.artifacts import Candidate, Made, proven
from tuning.messages import Failed, TooLarge, Trained
from tuning.study import LOOKS, METRICS, REASON, VERSION, held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from tuning.context import SearchContext
    from tuning.messages import Task
    from tuning.proposals import Requested
    from tuning.study import Held
    from tuning.workers import WorkerPool

_DIGITS = {SIZE: 2}
"""An objective is told in so many: models as large differ by some bytes of `pruning.json`."""


@dataclass(frozen=True, eq=False)
class Active:
    """A trial that has a process."""

    asked: Requested
    run: Run
    task: Task


class Endings:
    """Ends trials, each in one way."""

    def __init__(self, bench: SearchContext) -> None:
        self._bench = bench

    def by_record(self, asked: Requested, run: Run, earlier: Held | None) -> None:
        """Not trained. earlier: the trial of the same recipe; None where the screening speaks against it."""
        if earlier is not None and earlier.state == TrialState.COMPLETE:
            self._bench.study.tell(asked.trial, list(earlier.trial.values))
            run.log_metrics(dict(zip(self._bench.aim.metrics, earlier.trial.values, strict=True)))
            end(run, "COMPLETE", f"the same as trial {earlier.number}, and not trained again")
            return
        self._bench.study.tell(asked.trial, state=TrialState.PRUNED)
        end(run, "PRUNED", f"the same as trial {earlier.number}" if earlier else "below the middle of the screening")

    def by_its_word(self, nursery: WorkerPool, active: Active, word: Trained | TooLarge | Failed) -> None:
        """By the last that its process had to say."""
        if isinstance(word, Trained):
            try:
                self._complete(nursery, active, word)
                return
            except RoundTripError as error:
                word = Failed(str(error))
        if isinstance(word, Failed):
            self._unfinished(active, "FAIL", word.reason)
        else:
            self._unfinished(active, "PRUNED", f"{word.size_mb:.1f} MB, over max_size_mb={self._bench.aim.max_size_mb or math.inf:g}")

    def by_halving(self, active: Active) -> None:
        """It was looked at, and others are better."""
        looks = active.asked.trial.user_attrs[LOOKS]
        self._unfinished(active, "PRUNED", f"stopped after look {len(looks)}: dev {looks[-1][0]:.4f} is not in the upper half")

    def _unfinished(self, active: Active, state: Literal["PRUNED", "FAIL"], reason: str) -> None:
        trial = active.asked.trial
        trial.set_user_attr(REASON, reason)
        self._bench.study.tell(trial, state=TrialState[state])
        end(active.run, state, reason)
        echo(f"trial {trial.number} {'failed: ' if state == 'FAIL' else ''}{reason}")

    def _complete(self, nursery: WorkerPool, active: Active, trained: Trained) -> None:
        bench, trial = self._bench, active.asked.trial
        made = Made(active.task, active.run, trained)
        fresh = proven(nursery, made)
        metrics = {**trained.metrics, **fresh.metrics()}
        if bench.latencies:
            metrics[LATENCY] = bench.latencies[active.asked.proposal.selection.num_layers]
        active.run.log_series(trained.series)
        values = [round(metrics[name], _DIGITS.get(name, 6)) for name in bench.aim.metrics]
        complete = [one for one in held(bench.study) if one.is_complete]
        others = [Candidate.held(one, bench.aim) for one in complete]
        mine = Candidate.of(trial.number, values, metrics, bench.aim)
        version = bench.shelf.register(made, metrics, others, mine)
        active.run.log_metrics(metrics, model_id=version.tags["model_id"])
        trial.set_user_attr(METRICS, metrics)
        trial.set_user_attr(VERSION, version.version)
        bench.study.tell(trial, values)
        end(active.run, "COMPLETE", tags={"model": version.uri, "model_id": version.tags["model_id"]})
        echo(f"trial {trial.number} dev {metrics[STS_DEV]:.4f} in {metrics['training/seconds']:.0f} s of training: {version.uri}")
        complete = [one for one in held(bench.study) if one.is_complete]
        bench.shelf.tidy(bench.study, complete)
        if bench.context.parent is not None:  # by how many there are: trials do not end in the order of their numbers
            bench.context.parent.log_series([(len(complete), {"search/best_dev": max(one.score for one in complete)})])


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


def begin(context: Context, asked: Requested, recipe: Recipe, study: str) -> Run:
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
