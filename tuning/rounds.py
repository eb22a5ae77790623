"""The trials, as many at once as there are workers: asked for, trained in processes of their own, heard out, told, registered."""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from pipelines.console import say, waiting_for_a_good_moment
from sbert_prune.errors import RoundTripError, SearchError
from sbert_prune.metric_names import STS_DEV
from sbert_prune.policy import LATENCY, SIZE
from sbert_prune.processes import Process
from tuning import record
from tuning.keeping import Candidate, Made, proven
from tuning.nursery import Nursery, first_to_speak
from tuning.study import ANSWERED, DIGEST, KEPT, LOOKS, METRICS, PROCESS, REASON, RUN, VERSION, give_up, held, seen
from tuning.task import Failed, Look, Task, TooLarge, Trained
from tuning.trial import run_trial

if TYPE_CHECKING:
    from sbert_prune.recipe import Recipe
    from sbert_prune.tracking import Run
    from tuning.bench import Bench
    from tuning.nursery import Child
    from tuning.proposals import Asked, Proposals

_IN_VAIN = 25
"""After so many proposals in a row that the record answers, there is nothing new to be had."""

_ENOUGH = 3
"""Before so many trials were looked at as far, nobody can tell which half is the better one."""

_DIGITS = {SIZE: 2}
"""An objective is told in so many: models as large differ by some bytes of `pruning.json`."""

_FAILURES = 3
"""So many failures without a success: the next will fail as well."""


@dataclass(frozen=True, eq=False)
class _Active:
    """A trial in training."""

    asked: Asked
    run: Run
    task: Task


def run_trials(bench: Bench, proposals: Proposals, total: int, workers: int) -> str:
    """Train until so many trials count; returns why it ended, "" where the total is reached.

    Raises SearchError where nothing but failures comes of it.
    """
    rounds = _Rounds(bench, proposals)
    with Nursery() as nursery:
        try:
            with waiting_for_a_good_moment():  # which is when trials are listened to: what has begun to be recorded is recorded whole
                return rounds.run(nursery, total, workers)
        except BaseException:
            rounds.abandon()
            raise


class _Rounds:
    def __init__(self, bench: Bench, proposals: Proposals) -> None:
        self._bench, self._proposals = bench, proposals
        self._active: dict[Child, _Active] = {}

    def run(self, nursery: Nursery, total: int, workers: int) -> str:
        exhausted = False
        while True:
            while not exhausted and len(self._active) < workers and self._counted() < total:
                exhausted = not self._begin_one(nursery, workers)
            if not self._active:
                return f"the last {_IN_VAIN} proposals had all been answered before" if exhausted else ""
            for child in first_to_speak(list(self._active)):
                try:
                    word = child.line.recv()
                except (EOFError, OSError):
                    word = Failed(child.how_it_ended())
                self._hear(nursery, child, word)

    def _counted(self) -> int:
        """Trials that count, and those in training, another command's among them."""
        return sum(one.counts or one.state == TrialState.RUNNING for one in held(self._bench.study))

    def _begin_one(self, nursery: Nursery, workers: int) -> bool:
        """Begin a trial that has to be trained; False where the record answers all that is proposed."""
        for _ in range(_IN_VAIN):
            asked = self._proposals.next()
            recipe = asked.proposal.recipe(self._bench.recipe)
            asked.trial.set_user_attr(PROCESS, str(Process.own()))
            asked.trial.set_user_attr(KEPT, str(asked.proposal.selection))
            asked.trial.set_user_attr(DIGEST, recipe.digest)
            if not self._answer(asked, recipe):
                self._train(nursery, asked, recipe, workers)
                return True
        return False

    def _answer(self, asked: Asked, recipe: Recipe) -> bool:
        """Whether the record answers a proposal, so that it is not trained: the same was seen, or the screening speaks against it."""
        bench, trial = self._bench, asked.trial
        earlier = seen(bench.study, recipe.digest, trial.number)
        by_screen = not asked.is_measure and str(asked.proposal.selection) in bench.lower_half
        if earlier is None and not by_screen:
            return False
        trial.set_user_attr(ANSWERED, f"trial {earlier.number}" if earlier else "screening")
        run = self._open(asked, recipe)
        say(f"trial {trial.number} ({asked.origin}): layers {asked.proposal.selection}: answered by {trial.user_attrs[ANSWERED]}")
        if earlier is not None and earlier.state == TrialState.COMPLETE:
            self._tell(asked, list(earlier.trial.values))
            run.log_metrics(dict(zip(bench.aim.metrics, earlier.trial.values, strict=True)))
            record.end(run, "COMPLETE", f"the same as trial {earlier.number}, and not trained again")
            return True
        why = f"the same as trial {earlier.number}" if earlier else "below the middle of the screening"
        self._tell(asked, None)
        record.end(run, "PRUNED", why)
        return True

    def _open(self, asked: Asked, recipe: Recipe) -> Run:
        run = record.begin(self._bench.context, asked.trial.number, asked.proposal, (recipe, asked.origin, self._bench.study.study_name))
        asked.trial.set_user_attr(RUN, run.run_id)
        return run

    def _train(self, nursery: Nursery, asked: Asked, recipe: Recipe, workers: int) -> None:
        bench = self._bench
        run = self._open(asked, recipe)
        folder = bench.context.workspace / f"trial-{asked.trial.number}"
        threads = max(1, torch.get_num_threads() // workers)
        task = Task(recipe, bench.inputs.pruning.base, bench.rows, folder, run.run_id, threads, bench.aim.max_size_mb)
        self._active[nursery.start(run_trial, task)] = _Active(asked, run, task)
        settings = ", ".join(
            f"{path} {value:.3g}" if isinstance(value, float) else f"{path} {value}" for path, value in asked.proposal.settings
        )
        say(f"trial {asked.trial.number} ({asked.origin}): layers {asked.proposal.selection}{'; ' if settings else ''}{settings}")

    def _hear(self, nursery: Nursery, child: Child, word: Any) -> None:
        active = self._active[child]
        if isinstance(word, Look):
            goes_on = self._look(active, word)
            child.answer(goes_on)
            if goes_on:
                return
        nursery.end(child)
        try:
            self._finish(nursery, active, word)
        finally:
            for left in active.task.folder.parent.glob(f"{active.task.folder.name}*"):
                shutil.rmtree(left, ignore_errors=True)
        del self._active[child]
        self._check_failures()

    def _look(self, active: _Active, look: Look) -> bool:
        """Write a look down, and say whether the trial goes on: those among the better half do, and those that others are measured by."""
        trial, score = active.asked.trial, look.score if look.score is not None else -1.0
        looks = [*trial.user_attrs.get(LOOKS, []), [score, look.seconds]]
        trial.set_user_attr(LOOKS, looks)
        trial.set_user_attr(METRICS, {"training/seconds": look.seconds})
        active.run.log_series([(look.number, {"look/dev": score, "look/seconds": look.seconds})])
        if self._bench.aim.against is not None:
            return True  # a small variant is not to be held against a large one
        trial.report(score, step=2**look.number)
        seen_so = sum(len(one.say(LOOKS) or []) > look.number for one in held(self._bench.study))
        return active.asked.is_measure or seen_so < _ENOUGH or not trial.should_prune()

    def _finish(self, nursery: Nursery, active: _Active, word: Any) -> None:
        trial = active.asked.trial
        if isinstance(word, Trained):
            try:
                self._complete(nursery, active, word)
                return
            except RoundTripError as error:
                word = Failed(str(error))
        if isinstance(word, Failed):
            trial.set_user_attr(REASON, word.reason)
            self._bench.study.tell(trial, state=TrialState.FAIL)
            record.end(active.run, "FAIL", word.reason)
            say(f"trial {trial.number} failed: {word.reason}")
            return
        limit = self._bench.aim.max_size_mb or math.inf
        too_large = f"{word.size_mb:.1f} MB, over max_size_mb={limit:g}" if isinstance(word, TooLarge) else ""
        looks = trial.user_attrs.get(LOOKS, [])
        reason = too_large or f"stopped after look {len(looks)}: dev {looks[-1][0]:.4f} is not in the upper half"
        trial.set_user_attr(REASON, reason)
        self._tell(active.asked, None)
        record.end(active.run, "PRUNED", reason)
        say(f"trial {trial.number} {reason}")

    def _complete(self, nursery: Nursery, active: _Active, trained: Trained) -> None:
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
        self._tell(active.asked, values)
        record.end(active.run, "COMPLETE", tags={"model": version.uri, "model_id": version.tags["model_id"]})
        say(f"trial {trial.number} dev {metrics[STS_DEV]:.4f} in {metrics['training/seconds']:.0f} s of training: {version.uri}")
        bench.shelf.tidy(bench.study, [one for one in held(bench.study) if one.is_complete])
        self._draw_best(trial.number)

    def _draw_best(self, number: int) -> None:
        """The best score so far, trial by trial, on the run above."""
        if self._bench.context.parent is not None:
            best = max(one.score for one in held(self._bench.study) if one.is_complete)
            self._bench.context.parent.log_series([(number, {"search/best_dev": best})])

    def _tell(self, asked: Asked, values: list[float] | None) -> None:
        """None: it was stopped. Where two objectives are weighed, Optuna knows no stopped trials: its looks are no values."""
        study = self._bench.study
        if values is not None:
            study.tell(asked.trial, values)
        else:
            study.tell(asked.trial, state=TrialState.PRUNED)

    def _check_failures(self) -> None:
        ended = [one for one in held(self._bench.study) if one.counts]
        if len(ended) >= _FAILURES and all(one.state == TrialState.FAIL for one in ended):
            raise SearchError(f"All of the first {len(ended)} trials failed; the last: {ended[-1].say(REASON)}")

    def abandon(self) -> None:
        """The command ends: what is in training is told so, and proposed again by the next one."""
        for active in self._active.values():
            record.end(active.run, "KILLED", "the command was ended")
            with suppress(SQLAlchemyError, OSError):  # the run, which is closed, tells that the trial is stale
                one = next(one for one in held(self._bench.study) if one.number == active.asked.trial.number)
                give_up(self._bench.study, one)
