"""The trials, as many at once as there are workers: asked for, trained in processes of their own, looked at, let wait, ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import torch
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from pipelines.console import deferring_signals, echo
from sbert_prune.errors import SearchError
from sbert_prune.system.processes import Process
from tuning import endings
from tuning.asha import furthest_first, goes_on, is_alone
from tuning.endings import Active, Endings
from tuning.messages import Failed, RungScore, Task
from tuning.study import ANSWERED, DIGEST, KEPT, LOOKS, METRICS, PROCESS, REASON, RUN, give_up, held, seen
from tuning.trial import run_trial
from tuning.workers import WorkerPool, ready_workers

if TYPE_CHECKING:
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run
    from tuning.context import SearchContext
    from tuning.proposals import Requested
    from tuning.workers import Worker

_IN_VAIN = 25
"""After so many proposals in a row that the record answers, there is nothing new to be had."""

_FAILURES = 3
"""So many failures without a success: the next will fail as well."""

_MOST_WAITING = 8
"""So many processes wait at most; the worst of those that came least far is stopped."""


class Source(Protocol):
    """Who proposes what to train."""

    def next(self) -> Requested | None: ...


def run_trials(bench: SearchContext, source: Source, workers: int, wanted: int) -> str:
    """Train all that a source proposes; returns why it ended early, "" where the source has said all.

    wanted: so many are trained to their end, however they compare.  Raises SearchError where nothing but failures comes of it.
    """
    rounds = _Rounds(bench, source, workers, wanted)
    with WorkerPool() as nursery:
        try:
            with deferring_signals():  # which is when trials are listened to: what has begun to be recorded is recorded whole
                return rounds.run(nursery)
        except BaseException:
            rounds.abandon()
            raise


class _Rounds:
    def __init__(self, bench: SearchContext, source: Source, workers: int, wanted: int) -> None:
        self._bench, self._source, self._workers, self._wanted = bench, source, workers, wanted
        self._endings = Endings(bench)
        self._active: dict[Worker, Active] = {}
        self._waiting: dict[Worker, Active] = {}
        self._ended: str | None = None
        """Why nothing new is begun; None while the source proposes."""

    def run(self, nursery: WorkerPool) -> str:
        while True:
            while len(self._active) < self._workers and self._go_on(nursery):
                pass
            if not self._active:
                for child in list(self._waiting):
                    self._stop(nursery, child)
                return self._ended or ""
            for child in ready_workers([*self._active, *self._waiting]):
                if child not in self._active and child not in self._waiting:
                    continue  # stopped since, to make room for another
                try:
                    word = child.line.recv()
                except (EOFError, OSError):
                    word = Failed(child.how_it_ended())
                self._hear(nursery, child, word)

    def _go_on(self, nursery: WorkerPool) -> bool:
        """Give a free worker something to do: a waiting trial that has come to be among the better ones, a new one, the best that waits."""
        trials = held(self._bench.study)
        waiting = {active.asked.trial.number: child for child, active in self._waiting.items()}
        ranked = [one.number for one in furthest_first(trials) if one.number in waiting]
        chosen = next((number for number in ranked if goes_on(trials, number)), None)
        if chosen is None:
            if self._ended is None and self._begin_one(nursery):
                return True
            if not ranked or sum(one.is_complete for one in trials) >= self._wanted:
                return False
            chosen = ranked[0]
        self._resume(waiting[chosen])
        return True

    def _resume(self, child: Worker) -> None:
        self._active[child] = self._waiting.pop(child)
        child.answer(word=True)

    def _begin_one(self, nursery: WorkerPool) -> bool:
        """Begin a trial that has to be trained; False where the source has no more, or the record answers all that it proposes."""
        for _ in range(_IN_VAIN):
            asked = self._source.next()
            if asked is None:
                self._ended = ""
                return False
            recipe = asked.proposal.recipe(self._bench.recipe)
            asked.trial.set_user_attr(PROCESS, str(Process.current()))
            asked.trial.set_user_attr(KEPT, str(asked.proposal.selection))
            asked.trial.set_user_attr(DIGEST, recipe.digest)
            if not self._answer(asked, recipe):
                self._train(nursery, asked, recipe)
                return True
        self._ended = f"the last {_IN_VAIN} proposals had all been answered before"
        return False

    def _answer(self, asked: Requested, recipe: Recipe) -> bool:
        """Whether the record answers a proposal, so that it is not trained: the same was seen, or the screening speaks against it."""
        bench, trial = self._bench, asked.trial
        earlier = seen(bench.study, recipe.digest, trial.number)
        if asked.is_control and earlier is not None and earlier.state == TrialState.PRUNED:
            earlier = None  # a control is trained to its end, whatever became of the same as a trial
        by_screen = not asked.is_control and str(asked.proposal.selection) in bench.lower_half
        if earlier is None and not by_screen:
            return False
        trial.set_user_attr(ANSWERED, f"trial {earlier.number}" if earlier else "screening")
        echo(f"trial {trial.number} ({asked.origin}): layers {asked.proposal.selection}: answered by {trial.user_attrs[ANSWERED]}")
        self._endings.by_record(asked, self._open(asked, recipe), earlier)
        return True

    def _open(self, asked: Requested, recipe: Recipe) -> Run:
        run = endings.begin(self._bench.context, asked, recipe, self._bench.study.study_name)
        asked.trial.set_user_attr(RUN, run.run_id)
        return run

    def _train(self, nursery: WorkerPool, asked: Requested, recipe: Recipe) -> None:
        bench = self._bench
        run = self._open(asked, recipe)
        folder = bench.context.workspace / f"trial-{asked.trial.number}"
        threads = max(1, torch.get_num_threads() // self._workers)
        task = Task(recipe, bench.inputs.pruning.base, bench.rows, folder, run.run_id, threads, bench.aim.max_size_mb)
        self._active[nursery.start(run_trial, task)] = Active(asked, run, task)
        settings = ", ".join(
            f"{path} {value:.3g}" if isinstance(value, float) else f"{path} {value}" for path, value in asked.proposal.settings
        )
        echo(f"trial {asked.trial.number} ({asked.origin}): layers {asked.proposal.selection}{'; ' if settings else ''}{settings}")

    def _hear(self, nursery: WorkerPool, child: Worker, word: Any) -> None:
        active = self._active.get(child) or self._waiting[child]
        if isinstance(word, RungScore):
            self._look(nursery, child, word)
            return
        with self._leaving(nursery, child):
            self._endings.by_its_word(nursery, active, word)
        self._check_failures()

    def _look(self, nursery: WorkerPool, child: Worker, look: RungScore) -> None:
        """Write a look down; the trial goes on where it is among the better ones, or others are measured by it, and waits elsewhere."""
        active = self._active[child]
        trial, score = active.asked.trial, look.score if look.score is not None else -1.0
        trial.set_user_attr(LOOKS, [*trial.user_attrs.get(LOOKS, []), [score, look.seconds]])
        trial.set_user_attr(METRICS, {"training/seconds": look.seconds})
        active.run.log_series([(look.number, {"look/dev": score, "look/seconds": look.seconds})])
        if self._bench.aim.against is None:
            trial.report(score, step=2**look.number)
        self._waiting[child] = self._active.pop(child)
        trials = held(self._bench.study)
        # Two objectives: a small variant is not to be held against a large one.
        if active.asked.is_control or self._bench.aim.against is not None or goes_on(trials, trial.number):
            self._resume(child)
        elif not look.has_room or len(self._waiting) > _MOST_WAITING:
            waiting = {active.asked.trial.number: child for child, active in self._waiting.items()}
            worst = [waiting[one.number] for one in furthest_first(trials) if one.number in waiting][-1]
            if worst is child and is_alone(trials, trial.number):
                self._resume(child)  # nobody knows how good it is
            else:
                self._stop(nursery, worst)

    def _stop(self, nursery: WorkerPool, child: Worker) -> None:
        active = self._waiting[child]
        child.answer(word=False)
        with self._leaving(nursery, child):
            self._endings.by_halving(active)

    @contextmanager
    def _leaving(self, nursery: WorkerPool, child: Worker) -> Iterator[None]:
        """Its process ends, then what it was is recorded, and its files go."""
        active = self._active.get(child) or self._waiting[child]
        nursery.end(child)
        try:
            yield
        finally:
            for left in active.task.folder.parent.glob(f"{active.task.folder.name}*"):
                shutil.rmtree(left, ignore_errors=True)
        self._active.pop(child, None)
        self._waiting.pop(child, None)

    def _check_failures(self) -> None:
        ended = [one for one in held(self._bench.study) if one.counts]
        if len(ended) >= _FAILURES and all(one.state == TrialState.FAIL for one in ended):
            raise SearchError(f"All of the first {len(ended)} trials failed; the last: {ended[-1].say(REASON)}")

    def abandon(self) -> None:
        """The command ends: what has a process is told so, and proposed again by the next one."""
        for active in [*self._active.values(), *self._waiting.values()]:
            endings.end(active.run, "KILLED", "the command was ended")
            with suppress(SQLAlchemyError, OSError):  # the run, which is closed, tells that the trial is stale
                one = next(one for one in held(self._bench.study) if one.number == active.asked.trial.number)
                give_up(self._bench.study, one)
