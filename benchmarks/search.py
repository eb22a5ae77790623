"""The search beside a naive loop: Optuna over full trainings with plain sentence-transformers, on the same space.

    python benchmarks/search.py --layers 3 --trials 12 --nli-max-rows 1500 --sts-max-rows 1000 --runs 3

Measured are the seconds of training, with those of the shared weights, that the search takes to reach the best dev
score of the naive loop. Each run has another seed, for sampler and training. The search also screens and trains the
reference, which the naive loop does not need; the ratio is printed without and with them.
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
@click.option("--space", "axes", default=None, help="As of `search`; the learning rates when left out.")
@click.option("--runs", default=3, show_default=True)
def main(recipe: Recipe, trials: int, axes: str | None, runs: int) -> None:
    """Print the seconds of both for each run, and the median ratio."""
    prepare_process()
    silence_libraries()
    depth = find_base(recipe.keeping("1", "drop-top")).base.checkpoint.depth
    space = space_of(recipe, depth, first_stays=False, axes=axes)
    ratios = []
    for seed in range(recipe.seed, recipe.seed + runs):
        seeded = recipe.with_seed(seed)
        target, naive_s = naive(seeded, space, trials)
        print(f"seed {seed}: naive best dev {target:.4f} in {naive_s:.0f} s", flush=True)
        is_reached, ours_s, more, best = search(seeded, space, trials, target)
        ratios.append(ours_s / naive_s if is_reached else float("inf"))
        reached = f"reached in {ours_s:.0f} s" if is_reached else f"not reached in {ours_s:.0f} s"
        print(
            f"seed {seed}: naive best dev {target:.4f} in {naive_s:.0f} s of {trials} trainings; search: {reached}, "
            f"ratio {ratios[-1]:.3f} ({(ours_s + more['screening']) / naive_s:.3f} with its screening, "
            f"{(ours_s + sum(more.values())) / naive_s:.3f} with its reference too), best dev in the end {best:.4f}",
            flush=True,
        )
    print(f"SEARCH {space}: median ratio {median(ratios):.3f}")


def naive(recipe: Recipe, space: Space, trials: int) -> tuple[float, float]:
    """Return the best dev score of full trainings that TPE proposes, and the seconds of training."""
    import optuna

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=recipe.seed))
    seconds = 0.0
    for _ in range(trials):
        trial = study.ask()
        proposal = space.suggest(trial)
        variant = proposal.recipe(recipe)
        trained = train_plainly(variant, find_base(variant), proposal.selection, split="dev")
        seconds += sum(trained.seconds.values())
        study.tell(trial, trained.score)
    return float(study.best_value), seconds


def search(recipe: Recipe, space: Space, trials: int, target: float) -> tuple[bool, float, dict[str, float], float]:
    """Search until all trials are trained.

    Returns:
        Whether the target was reached; seconds of training until then, or of all; seconds of screening and reference;
        the best score.
    """
    from optuna.trial import TrialState

    from tuning.search import run_search
    from tuning.study import KEPT_LAYERS, ORIGIN, REASON, journal_of, open_study, stored_trials

    settings = Settings(Aim(), trials=trials, finalists=1)
    deepest = recipe.keeping(str(space.counts[-1]), "drop-top")
    with own_store():
        with contextlib.redirect_stdout(io.StringIO()):
            inputs = load_inputs(deepest)
            run_search(deepest, inputs, space, settings)
        (journal,) = journal_of("x").parent.glob("*.journal")
        study = open_study(journal.stem, None, settings.aim, "tpe", 0)
        stored, screened = stored_trials(study), study.user_attrs["screened"]
        reference_s = _reference_seconds()
    counted = [trial for trial in stored if trial.counts]
    for trial in counted:
        chosen = ", ".join(f"{name} {value:.2g}" for name, value in space.settings_of(trial.trial.params).items())
        ending = f"dev {trial.score:.4f}" if trial.state == TrialState.COMPLETE else trial.attribute(REASON)
        origin, layers = trial.attribute(ORIGIN), trial.attribute(KEPT_LAYERS)
        print(f"  {trial.number} {origin}: {layers}; {chosen}; {trial.seconds:.1f} s; {ending}")
    complete = [trial for trial in counted if trial.state == TrialState.COMPLETE]
    ends = (trial.trial.datetime_complete for trial in complete if trial.score >= target)
    reached = min(ends, default=datetime.max)
    # All trials that were started until then, with all of their seconds: some were trained later, as trials wait.
    trained_s = sum(trial.seconds for trial in counted if trial.trial.datetime_start < reached)
    spent = float(screened["training"]) + trained_s
    more = {"screening": float(screened["seconds"]), "reference": reference_s}
    return reached < datetime.max, spent, more, max(trial.score for trial in complete)


def _reference_seconds() -> float:
    """Return the seconds of the reference's two phases: only the reference is trained in steps."""
    from sbert_prune.tracking.store import connect

    store = connect()
    runs = store.client.search_runs([store.experiment_id], "tags.`sbert_prune.step` LIKE 'train_%'")
    trained = [run for run in runs if "sbert_prune.reused_from" not in run.data.tags]
    return sum(run.info.end_time - run.info.start_time for run in trained) / 1000


@contextlib.contextmanager
def own_store() -> Iterator[None]:
    """Use a fresh store in a temporary folder."""
    before, uri = Path.cwd(), os.environ.get("MLFLOW_TRACKING_URI")
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        try:
            yield
        finally:
            os.chdir(before)
            os.environ.pop("MLFLOW_TRACKING_URI")
            if uri is not None:
                os.environ["MLFLOW_TRACKING_URI"] = uri


if __name__ == "__main__":
    main()
