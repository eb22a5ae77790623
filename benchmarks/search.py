"""The search against the naive loop: Optuna over full trainings with plain sentence-transformers, on the same space and data.

    python benchmarks/search.py --layers 3 --trials 12 --nli-max-rows 1500 --sts-max-rows 1000 --runs 3

How many seconds of training, shared weights among them, the search takes to reach the best dev score that the naive loop found in all
of its own. Each run has another seed, for sampler and training. The search screens and trains the reference besides, which the naive
loop has no use for; the ratio is given without and with them.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.plain import train_plainly
from pipelines.commands.options import RECIPE_PARAMETERS, recipe_options
from pipelines.console import prepare_process, silence_libraries
from pipelines.inputs.base import find_base
from pipelines.inputs.load import load_inputs
from sbert_prune.recipe.recipe import Recipe
from tuning.settings import Aim, Settings
from tuning.space import Space, space_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@recipe_options(*(name for name in RECIPE_PARAMETERS if name != "recipe"))
@click.option("--trials", default=12, show_default=True, help="Of the naive loop, and of the search.")
@click.option("--space", "axes", default=None, help="As search's own; the learning rates when left out.")
@click.option("--runs", default=3, show_default=True)
def main(recipe: Recipe, trials: int, axes: str | None, runs: int) -> None:
    """Print both, run by run, and the median ratio."""
    prepare_process()
    silence_libraries()
    depth = find_base(recipe.keeping("1", "drop-top")).base.checkpoint.depth
    space = space_of(recipe, depth, first_stays=False, axes=axes)
    ratios = []
    for seed in range(recipe.seed, recipe.seed + runs):
        seeded = recipe.with_seed(seed)
        wanted, naive_s = naive(seeded, space, trials)
        print(f"seed {seed}: naive best dev {wanted:.4f} in {naive_s:.0f} s", flush=True)
        found, ours_s, more, best = search(seeded, space, trials, wanted)
        ratios.append(ours_s / naive_s if found else float("inf"))
        reached = f"reached in {ours_s:.0f} s" if found else f"not reached in {ours_s:.0f} s"
        print(
            f"seed {seed}: naive best dev {wanted:.4f} in {naive_s:.0f} s of {trials} trainings; search: {reached}, "
            f"ratio {ratios[-1]:.3f} ({(ours_s + more['screening']) / naive_s:.3f} with its screening, "
            f"{(ours_s + sum(more.values())) / naive_s:.3f} with its reference too), best dev in the end {best:.4f}",
            flush=True,
        )
    print(f"SEARCH {space}: median ratio {median(ratios):.3f}")


def naive(recipe: Recipe, space: Space, trials: int) -> tuple[float, float]:
    """The best dev score of full trainings that TPE proposes, and the seconds of training them all."""
    import optuna

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=recipe.seed))
    seconds = 0.0
    for _ in range(trials):
        trial = study.ask()
        proposal = space.suggest(trial)
        tried = proposal.recipe(recipe)
        score, *taken = train_plainly(tried, find_base(tried), proposal.selection, split="dev")
        seconds += sum(taken)
        study.tell(trial, score)
    return float(study.best_value), seconds


def search(recipe: Recipe, space: Space, trials: int, wanted: float) -> tuple[bool, float, dict[str, float], float]:
    """Whether a dev score is reached, after how many seconds of training (or all), seconds of other things, and the best score."""
    from optuna.trial import TrialState

    from tuning.search import run_search
    from tuning.study import KEPT, ORIGIN, REASON, held, journal_of, open_study

    settings = Settings(Aim(), trials=trials, finalists=1)
    deepest = recipe.keeping(str(space.counts[-1]), "drop-top")
    with own_store():
        with contextlib.redirect_stdout(io.StringIO()):
            inputs = load_inputs(deepest)
            run_search(deepest, inputs, space, settings)
        (journal,) = journal_of("x").parent.glob("*.journal")
        study = open_study(journal.stem, None, settings.aim, "tpe", 0)
        trials_made, screened = held(study), study.user_attrs["screened"]
        reference_s = _reference_seconds()
    counted = [one for one in trials_made if one.counts]
    for one in counted:
        chosen = ", ".join(f"{name} {value:.2g}" for name, value in space.settings_of(one.trial.params).items())
        ending = f"dev {one.score:.4f}" if one.state == TrialState.COMPLETE else one.say(REASON)
        print(f"  {one.number} {one.say(ORIGIN)}: {one.say(KEPT)}; {chosen}; {one.seconds:.1f} s; {ending}")
    shared, complete = float(screened["training"]), [one for one in counted if one.state == TrialState.COMPLETE]
    reached = min((one.trial.datetime_complete for one in complete if one.score >= wanted), default=datetime.max)
    # All that was begun until then, with all of its seconds: some were trained later, as trials wait for each other.
    spent = shared + sum(one.seconds for one in counted if one.trial.datetime_start < reached)
    more = {"screening": float(screened["seconds"]), "reference": reference_s}
    return reached < datetime.max, spent, more, max(one.score for one in complete)


def _reference_seconds() -> float:
    """Of its two phases, with all that their runs do: nothing else is trained in steps."""
    from sbert_prune.tracking.store import connect

    store = connect()
    runs = store.client.search_runs([store.experiment_id], "tags.`sbert_prune.step` LIKE 'train_%'")
    trained = [run for run in runs if "sbert_prune.reused_from" not in run.data.tags]
    return sum(run.info.end_time - run.info.start_time for run in trained) / 1000


@contextlib.contextmanager
def own_store() -> Iterator[None]:
    """A fresh store in a folder that goes."""
    before, kept = Path.cwd(), os.environ.get("MLFLOW_TRACKING_URI")
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        try:
            yield
        finally:
            os.chdir(before)
            os.environ.pop("MLFLOW_TRACKING_URI")
            if kept is not None:
                os.environ["MLFLOW_TRACKING_URI"] = kept


if __name__ == "__main__":
    main()
