"""What a search's bookkeeping costs a trial, with 10, 100 and 1,000 trials in the study: nothing is trained.

    python benchmarks/bookkeeping.py

Requested, looked up among the trials before it, its run opened, three looks written down and decided on, told, its run closed. Registering the
variant is told apart: that is what benchmarks/endings.py measures for `full`, without the bytes.
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

_LOOKS = 3
_TIMED = 15


@click.command()
@click.option("--counts", default="10,100,1000", show_default=True)
def main(counts: str) -> None:
    """Print the median seconds a trial by how many there are."""
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
            book = Book(inner, recipe)
            for _ in range(count):
                book.trial()
            taken = []
            for _ in range(_TIMED):
                began = time.perf_counter()
                book.trial()
                taken.append(time.perf_counter() - began)
        print(f"BOOKKEEPING {count:,} trials in the study: {median(taken):.3f} s a trial", flush=True)


class Book:
    """One study and its runs."""

    def __init__(self, context: Context, recipe: Recipe) -> None:
        from tuning.proposals import Proposals
        from tuning.settings import Aim
        from tuning.space import space_of
        from tuning.study import open_study

        self.context = context
        self.recipe = recipe
        self.study = open_study("bookkeeping", None, Aim(), "random", 0)
        self.proposals = Proposals(self.study, space_of(self.recipe, 12, first_stays=False, axes=None), self.recipe, ({}, None, 10**6))

    def trial(self) -> None:
        """All that is written down about one."""
        from tuning import endings
        from tuning.asha import goes_on
        from tuning.study import DIGEST, KEPT, LOOKS, METRICS, PROCESS, RUN, held, seen

        asked = self.proposals.next()
        assert asked is not None
        recipe = asked.proposal.recipe(self.recipe)
        for key, value in ((PROCESS, "-"), (KEPT, str(asked.proposal.selection)), (DIGEST, recipe.digest)):
            asked.trial.set_user_attr(key, value)
        seen(self.study, recipe.digest, asked.trial.number)
        run = endings.begin(self.context, asked, recipe, "bookkeeping")
        asked.trial.set_user_attr(RUN, run.run_id)
        for look in range(_LOOKS):
            asked.trial.set_user_attr(LOOKS, [[0.5, 1.0]] * (look + 1))
            run.log_series([(look, {"look/dev": 0.5})])
            asked.trial.report(0.5, step=2**look)
            goes_on(held(self.study), asked.trial.number)
        asked.trial.set_user_attr(METRICS, {"training/seconds": 1.0, "size/disk_mb": 1.0})
        run.log_metrics({"sts_dev/spearman_cosine": 0.5})
        self.study.tell(asked.trial, 0.5)
        endings.end(run, "COMPLETE")


if __name__ == "__main__":
    main()
