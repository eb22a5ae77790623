"""Runs trials, as many at once as there are workers: starts, pauses, resumes and stops them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import torch
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from pipelines.console import deferring_signals, echo
from pipelines.progress import doing
from sbert_prune.errors import SearchError
from tuning.asha import furthest_first, is_alone, may_continue
from tuning.endings import ActiveTrial, TrialEndings, close_trial_run, open_trial_run
from tuning.messages import CONTINUE, STOP, Failed, RungScore, Task
from tuning.study import (
    ANSWERED,
    DIGEST,
    KEPT_LAYERS,
    METRICS,
    REASON,
    RUN,
    RUNG_SCORES,
    earlier_trial,
    fail_and_requeue,
    stored_trials,
    wait_for_claims,
)
from tuning.trial import run_trial
from tuning.workers import WorkerPool, ready_workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run
    from tuning.context import SearchContext
    from tuning.proposals import Requested
    from tuning.workers import Worker

_MAX_ANSWERED = 25
"""After so many proposals in a row that the record answers, the space is taken to be exhausted."""

_MAX_FAILURES = 3
"""After so many failures without a success, the next trial is expected to fail as well."""

_MAX_WAITING = 8
"""How many processes may wait; beyond, the worst of the trials at the lowest rung is stopped."""


class TrialSource(Protocol):
    """Proposes trials."""

    def next(self) -> Requested | None: ...


def run_trials(
    search: SearchContext,
    source: TrialSource,
    *,
    workers: int,
    min_complete: int,
    lower_half: Set[str] = frozenset(),
    latencies: Mapping[int, float] | None = None,
) -> str:
    """Train all trials that a source proposes.

    Args:
        search: What all trials share.
        source: Proposes the trials.
        workers: How many trials are trained at once.
        min_complete: How many trials are trained to their end, however they compare.
        lower_half: Selections that the screening ranks below the middle; they are not trained.
        latencies: Latency of one sentence in ms, by the count of layers; None where the aim does not use it.

    Returns:
        Why it ended early; "" where the source has no more trials.

    Raises:
        SearchError: Nothing but failures comes of it.
    """
    scheduler = _Scheduler(
        search,
        source,
        workers=workers,
        min_complete=min_complete,
        lower_half=lower_half,
        endings=TrialEndings(search, latencies or {}),
    )
    with WorkerPool() as pool:
        try:
            # A signal takes effect while the scheduler waits for messages, so that nothing is recorded by half.
            with deferring_signals():
                return scheduler.run(pool)
        except BaseException:
            scheduler.abandon()
            raise


class _Scheduler:
    def __init__(
        self,
        search: SearchContext,
        source: TrialSource,
        *,
        workers: int,
        min_complete: int,
        lower_half: Set[str],
        endings: TrialEndings,
    ) -> None:
        self._search, self._source, self._workers, self._min_complete = search, source, workers, min_complete
        self._lower_half, self._endings = lower_half, endings
        self._active: dict[Worker, ActiveTrial] = {}
        self._waiting: dict[Worker, ActiveTrial] = {}
        self._ended: str | None = None
        """Why no new trial is started; None while the source proposes."""

    def run(self, pool: WorkerPool) -> str:
        while True:
            while len(self._active) < self._workers and self._start_or_resume(pool):
                pass
            if not self._active:
                for worker in list(self._waiting):
                    self._stop(pool, worker)
                return self._ended or ""
            doing(f"{len(self._active)} in training, {len(self._waiting)} waiting")
            for worker in ready_workers([*self._active, *self._waiting]):
                if worker not in self._active and worker not in self._waiting:
                    continue  # stopped since, to make room for another
                try:
                    message = worker.line.recv()
                except (EOFError, OSError):
                    message = Failed(worker.exit_reason())
                self._receive(pool, worker, message)

    def _start_or_resume(self, pool: WorkerPool) -> bool:
        """Give a free worker a trial; return whether there was one.

        In this order: a waiting trial that is now in the better half, a new trial, the best waiting trial.
        """
        trials = stored_trials(self._search.study)
        waiting = self._waiting_by_number()
        ranked = [trial.number for trial in furthest_first(trials) if trial.number in waiting]
        chosen = next((number for number in ranked if may_continue(trials, number)), None)
        if chosen is None:
            if self._ended is None and self._start_next(pool):
                return True
            if not ranked or sum(trial.is_complete for trial in trials) >= self._min_complete:
                return False
            chosen = ranked[0]
        self._resume(waiting[chosen])
        return True

    def _waiting_by_number(self) -> dict[int, Worker]:
        return {active.request.trial.number: worker for worker, active in self._waiting.items()}

    def _resume(self, worker: Worker) -> None:
        self._active[worker] = self._waiting.pop(worker)
        worker.send(CONTINUE)

    def _start_next(self, pool: WorkerPool) -> bool:
        """Start a new trial; return False where the source has no more or the record answers all that it proposes."""
        for _ in range(_MAX_ANSWERED):
            request = self._source.next()
            if request is None:
                self._ended = ""
                return False
            recipe = request.proposal.recipe(self._search.recipe)
            request.trial.set_user_attr(KEPT_LAYERS, str(request.proposal.selection))
            request.trial.set_user_attr(DIGEST, recipe.digest)
            if not self._answer(request, recipe):
                self._train(pool, request, recipe)
                return True
        self._ended = f"the last {_MAX_ANSWERED} proposals had all been answered before"
        return False

    def _answer(self, request: Requested, recipe: Recipe) -> bool:
        """End a proposal without training, where the same was tried before or the screening rejects it.

        Returns:
            Whether it was ended.
        """
        trial = request.trial
        wait_for_claims(self._search.study, trial.number)
        earlier = earlier_trial(self._search.study, recipe.digest, trial.number)
        if request.is_control and earlier is not None and earlier.state == TrialState.PRUNED:
            earlier = None  # a control is trained to its end, even where the same trial was stopped
        is_rejected = not request.is_control and str(request.proposal.selection) in self._lower_half
        if earlier is None and not is_rejected:
            return False
        answered_by = f"trial {earlier.number}" if earlier else "screening"
        trial.set_user_attr(ANSWERED, answered_by)
        selection = request.proposal.selection
        echo(f"trial {trial.number} ({request.origin}): layers {selection}: answered by {answered_by}")
        self._endings.by_record(request, self._open_run(request, recipe), earlier)
        return True

    def _open_run(self, request: Requested, recipe: Recipe) -> Run:
        run = open_trial_run(self._search.context, request, recipe, self._search.study.study_name)
        request.trial.set_user_attr(RUN, run.run_id)
        return run

    def _train(self, pool: WorkerPool, request: Requested, recipe: Recipe) -> None:
        search, number = self._search, request.trial.number
        run = self._open_run(request, recipe)
        task = Task(
            recipe=recipe,
            base=search.inputs.pruning.base,
            rows=search.rows,
            folder=search.context.workspace / f"trial-{number}",
            run_id=run.run_id,
            threads=max(1, torch.get_num_threads() // self._workers),
            max_size_mb=search.aim.max_size_mb,
        )
        self._active[pool.start(run_trial, task)] = ActiveTrial(request, run, task)
        settings = ", ".join(
            f"{path} {value:.3g}" if isinstance(value, float) else f"{path} {value}"
            for path, value in request.proposal.settings
        )
        selection = request.proposal.selection
        echo(f"trial {number} ({request.origin}): layers {selection}{'; ' if settings else ''}{settings}")

    def _receive(self, pool: WorkerPool, worker: Worker, message: Any) -> None:
        if isinstance(message, RungScore):
            self._record_score(pool, worker, message)
            return
        active = self._active.get(worker) or self._waiting[worker]
        with self._removing(pool, worker):
            self._endings.by_message(pool, active, message)
        self._check_failures()

    def _record_score(self, pool: WorkerPool, worker: Worker, rung: RungScore) -> None:
        """Record the score of a rung and decide whether the trial continues, waits or is stopped."""
        active = self._active[worker]
        trial, score = active.request.trial, rung.score if rung.score is not None else -1.0
        trial.set_user_attr(RUNG_SCORES, [*trial.user_attrs.get(RUNG_SCORES, []), [score, rung.seconds]])
        trial.set_user_attr(METRICS, {"training/seconds": rung.seconds})
        active.run.log_series([(rung.number, {"look/dev": score, "look/seconds": rung.seconds})])
        if self._search.aim.against is None:
            trial.report(score, step=2**rung.number)
        self._waiting[worker] = self._active.pop(worker)
        trials = stored_trials(self._search.study)
        # With two objectives, scores alone do not decide: a small variant must not be compared with a large one.
        has_two_objectives = self._search.aim.against is not None
        if active.request.is_control or has_two_objectives or may_continue(trials, trial.number):
            self._resume(worker)
        elif not rung.has_memory or len(self._waiting) > _MAX_WAITING:
            waiting = self._waiting_by_number()
            worst = [waiting[other.number] for other in furthest_first(trials) if other.number in waiting][-1]
            if worst is worker and is_alone(trials, trial.number):
                self._resume(worker)  # there is nothing to compare it with
            else:
                self._stop(pool, worst)

    def _stop(self, pool: WorkerPool, worker: Worker) -> None:
        active = self._waiting[worker]
        worker.send(STOP)
        with self._removing(pool, worker):
            self._endings.by_stop(active)

    @contextmanager
    def _removing(self, pool: WorkerPool, worker: Worker) -> Iterator[None]:
        """End the process of a trial, then let the caller record its end, then delete its files."""
        active = self._active.get(worker) or self._waiting[worker]
        pool.end(worker)
        try:
            yield
        finally:
            for folder in active.task.folder.parent.glob(f"{active.task.folder.name}*"):
                shutil.rmtree(folder, ignore_errors=True)
        self._active.pop(worker, None)
        self._waiting.pop(worker, None)

    def _check_failures(self) -> None:
        ended = [trial for trial in stored_trials(self._search.study) if trial.counts]
        if len(ended) >= _MAX_FAILURES and all(trial.state == TrialState.FAIL for trial in ended):
            reason = ended[-1].attribute(REASON)
            raise SearchError(f"All of the first {len(ended)} trials failed; the last: {reason}")

    def abandon(self) -> None:
        """Close the runs of unfinished trials as killed and queue the trials for the next command."""
        for active in [*self._active.values(), *self._waiting.values()]:
            close_trial_run(active.run, "KILLED", "the command was ended")
            with suppress(SQLAlchemyError, OSError):  # the closed run shows the next command that the trial is stale
                number = active.request.trial.number
                trial = next(trial for trial in stored_trials(self._search.study) if trial.number == number)
                fail_and_requeue(self._search.study, trial)
