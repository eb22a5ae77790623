"""Time that bookkeeping costs a trial, with 10, 100 and 1,000 trials in the study: nothing is trained.

    python benchmarks/bookkeeping.py

A trial is requested, looked up among the earlier ones, its run opened, three rung scores recorded and decided on, its
result stored, its run closed. Registering the variant is not included: benchmarks/record.py measures that for `full`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.search import own_store

if TYPE_CHECKING:
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe

_NUM_RUNGS = 3
_NUM_TIMED = 15


@click.command()
@click.option("--counts", default="10,100,1000", show_default=True)
def main(counts: str) -> None:
    """Print the median seconds a trial by the number of trials."""
    from pipelines.console import prepare_process, silence_libraries
    from pipelines.steps.context import open_context
    from sbert_prune.recipe.files import load_recipe

    prepare_process()
    silence_libraries()
    recipe = load_recipe("quickstart", {})
    for count in map(int, counts.split(",")):
        with (
            own_store(),
            open_context(recipe.device, recipe.precision) as context,
            context.under("search", {"step": "search"}, recipe) as (inner, _),
        ):
            study = RecordedStudy(inner, recipe)
            for _ in range(count):
                study.add_trial()
            seconds = []
            for _ in range(_NUM_TIMED):
                started = time.perf_counter()
                study.add_trial()
                seconds.append(time.perf_counter() - started)
        print(f"BOOKKEEPING {count:,} trials in the study: {median(seconds):.3f} s a trial", flush=True)


class RecordedStudy:
    """One study and its runs."""

    def __init__(self, context: Context, recipe: Recipe) -> None:
        from tuning.proposals import Proposals
        from tuning.settings import Aim
        from tuning.space import space_of
        from tuning.study import open_study

        self.context = context
        self.recipe = recipe
        self.study = open_study("bookkeeping", None, Aim(), "random", 0)
        space = space_of(self.recipe, 12, first_stays=False, axes=None)
        self.proposals = Proposals(self.study, space, self.recipe, named={}, screened=None, total=10**6)

    def add_trial(self) -> None:
        """Record one trial as a search does."""
        from tuning.asha import may_continue
        from tuning.endings import close_trial_run, open_trial_run
        from tuning.study import (
            DIGEST,
            KEPT_LAYERS,
            METRICS,
            PROCESS,
            RUN,
            RUNG_SCORES,
            earlier_trial,
            stored_trials,
        )

        request = self.proposals.next()
        assert request is not None
        recipe = request.proposal.recipe(self.recipe)
        for key, value in ((PROCESS, "-"), (KEPT_LAYERS, str(request.proposal.selection)), (DIGEST, recipe.digest)):
            request.trial.set_user_attr(key, value)
        earlier_trial(self.study, recipe.digest, request.trial.number)
        run = open_trial_run(self.context, request, recipe, "bookkeeping")
        request.trial.set_user_attr(RUN, run.run_id)
        for rung in range(_NUM_RUNGS):
            request.trial.set_user_attr(RUNG_SCORES, [[0.5, 1.0]] * (rung + 1))
            run.log_series([(rung, {"look/dev": 0.5})])
            request.trial.report(0.5, step=2**rung)
            may_continue(stored_trials(self.study), request.trial.number)
        request.trial.set_user_attr(METRICS, {"training/seconds": 1.0, "size/disk_mb": 1.0})
        run.log_metrics({"sts_dev/spearman_cosine": 0.5})
        self.study.tell(request.trial, 0.5)
        close_trial_run(run, "COMPLETE")


if __name__ == "__main__":
    main()
