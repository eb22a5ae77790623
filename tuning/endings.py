"""How a trial ends: told to the study, recorded on its run, and what it made registered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from optuna.trial import TrialState

from pipelines.console import say
from sbert_prune.errors import RoundTripError
from sbert_prune.metrics import STS_DEV
from sbert_prune.registry.policy import LATENCY, SIZE
from tuning import record
from tuning.artifacts import Candidate, Made, proven
from tuning.messages import Failed, TooLarge, Trained
from tuning.study import LOOKS, METRICS, REASON, VERSION, held

if TYPE_CHECKING:
    from sbert_prune.tracking.runs import Run
    from tuning.context import Bench
    from tuning.messages import Task
    from tuning.proposals import Asked
    from tuning.study import Held
    from tuning.workers import Nursery

_DIGITS = {SIZE: 2}
"""An objective is told in so many: models as large differ by some bytes of `pruning.json`."""


@dataclass(frozen=True, eq=False)
class Active:
    """A trial that has a process."""

    asked: Asked
    run: Run
    task: Task


class Endings:
    """Ends trials, each in one way."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def by_record(self, asked: Asked, run: Run, earlier: Held | None) -> None:
        """Not trained. earlier: the trial of the same recipe; None where the screening speaks against it."""
        if earlier is not None and earlier.state == TrialState.COMPLETE:
            self._bench.study.tell(asked.trial, list(earlier.trial.values))
            run.log_metrics(dict(zip(self._bench.aim.metrics, earlier.trial.values, strict=True)))
            record.end(run, "COMPLETE", f"the same as trial {earlier.number}, and not trained again")
            return
        self._bench.study.tell(asked.trial, state=TrialState.PRUNED)
        record.end(run, "PRUNED", f"the same as trial {earlier.number}" if earlier else "below the middle of the screening")

    def by_its_word(self, nursery: Nursery, active: Active, word: Trained | TooLarge | Failed) -> None:
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
        record.end(active.run, state, reason)
        say(f"trial {trial.number} {'failed: ' if state == 'FAIL' else ''}{reason}")

    def _complete(self, nursery: Nursery, active: Active, trained: Trained) -> None:
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
        record.end(active.run, "COMPLETE", tags={"model": version.uri, "model_id": version.tags["model_id"]})
        say(f"trial {trial.number} dev {metrics[STS_DEV]:.4f} in {metrics['training/seconds']:.0f} s of training: {version.uri}")
        complete = [one for one in held(bench.study) if one.is_complete]
        bench.shelf.tidy(bench.study, complete)
        if bench.context.parent is not None:  # by how many there are: trials do not end in the order of their numbers
            bench.context.parent.log_series([(len(complete), {"search/best_dev": max(one.score for one in complete)})])
