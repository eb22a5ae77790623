"""The training loop of one phase, which resumes from its last checkpoint after it was killed."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from sbert_prune.errors import TrainingError
from sbert_prune.system.memory import peak_memory_mb
from sbert_prune.training.checkpoints import PhaseState
from sbert_prune.training.compact_vocabulary import compact_vocabulary
from sbert_prune.training.distributed import WorkerGroup, join_group
from sbert_prune.training.optimizer import Stepper, StepResult
from sbert_prune.training.setup import TRAINING, PhaseSetup, Progress, TrainerSetup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from sbert_prune.recipe.settings import PhaseSettings

_MAX_SHOWN_CHARS = 60  # of a sentence in an error message


def train(model: SentenceTransformer, phase: PhaseSetup, settings: PhaseSettings, setup: TrainerSetup) -> None:
    """Train the model in place with AdamW, linear warm-up and linear decay, and leave it on the CPU in evaluation mode.

    Args:
        model: The sentence model; its weights change.
        phase: The rows, batches, objective and dev pairs.
        settings: The settings of the phase.
        setup: Device, seed, callbacks and checkpoints.

    Raises:
        TrainingError: The loss or the gradient is no longer finite, or a single sentence does not fit into memory.
    """
    group = join_group()
    saved = setup.checkpoints.load() if setup.checkpoints else None
    group.broadcast((model, phase, settings, setup.hardware, setup.seed, saved))
    _train(model, phase, settings, setup=setup, group=group, saved=saved)


def run_worker() -> None:
    """Compute this process's share of every phase until the main process leaves the group."""
    group = join_group()
    while (received := group.broadcast(None)) is not None:
        model, phase, settings, hardware, seed, saved = received
        setup = TrainerSetup(hardware.for_worker(), seed, report=lambda _progress: None, notice=lambda _text: None)
        _train(model, phase, settings, setup=setup, group=group, saved=saved)
    distributed.destroy_process_group()


def _train(
    model: SentenceTransformer,
    phase: PhaseSetup,
    settings: PhaseSettings,
    *,
    setup: TrainerSetup,
    group: WorkerGroup,
    saved: PhaseState | None,
) -> None:
    parts = (phase.examples,) if phase.dev is None else (phase.examples, phase.dev.examples)
    with compact_vocabulary(model, parts) as (examples, *dev):
        phase = replace(phase, examples=examples, dev=phase.dev.with_examples(dev[0]) if phase.dev else None)
        model.to(setup.hardware.device).train()
        try:
            _PhaseRun(model, phase, settings, setup, group).run(saved)
        finally:
            model.to("cpu").eval()


@dataclass
class _Position:
    """The progress of a phase, as checkpoints store it.

    Attributes:
        done: Optimizer steps taken.
        best_score: The best dev score, -1 to 1.
        best_at: The optimizer step with the best dev score.
        evaluations_since_best: Dev evaluations since that step.
        limit: See Stepper.
        finished: Whether the phase is complete.
        reports: All reports of the phase.
    """

    done: int = 0
    best_score: float | None = None
    best_at: int = 0
    evaluations_since_best: int = 0
    limit: int | None = None
    finished: bool = False
    reports: list[Progress] = field(default_factory=list)

    # Two keys on disk are older than the names here: checkpoints of earlier versions have to be readable.
    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> _Position:
        values = dict(stored)
        reports = [Progress(**progress) for progress in values.pop("told")]
        return cls(evaluations_since_best=values.pop("looks"), reports=reports, **values)

    def to_store(self) -> dict[str, Any]:
        values = asdict(self)
        return {"looks": values.pop("evaluations_since_best"), "told": values.pop("reports"), **values}


class _PhaseRun:
    """One phase while it is being trained."""

    def __init__(
        self,
        model: SentenceTransformer,
        phase: PhaseSetup,
        settings: PhaseSettings,
        setup: TrainerSetup,
        group: WorkerGroup,
    ) -> None:
        self.model, self.phase, self.settings, self.setup, self.group = model, phase, settings, setup, group
        self.stepper = Stepper(
            model, phase, settings, hardware=setup.hardware, group=group, seed=setup.seed, notice=setup.notice
        )
        self.num_steps = len(self.stepper.steps)
        self.evaluate_at = _evaluation_steps(self.num_steps, settings) if phase.dev else frozenset()
        score_at = frozenset(max(1, round(share * self.num_steps)) for share in setup.score_after)
        self.score_at = score_at if phase.dev else frozenset()
        self.position = _Position(limit=settings.mini_batch_size)
        self.best: dict[str, torch.Tensor] = {}
        self.pending: list[StepResult] = []
        self.last_report_s = time.perf_counter()

    def run(self, saved: PhaseState | None) -> None:
        if saved is not None:
            self._restore(saved)
            if self.position.finished:
                return
        while not self.position.finished:
            self.pending.append(self.stepper.step(self.position.done))
            self.position.done += 1
            self._after_step()
        self._restore_best()
        self._write_checkpoint()

    def _after_step(self) -> None:
        """Report, evaluate, write a checkpoint and check for signals between two optimizer steps."""
        position, last = self.position, self.position.done == self.num_steps
        evaluates = position.done in self.evaluate_at
        if evaluates or last or position.done in self.score_at or position.done % self.setup.report_every == 0:
            self._report(evaluates=evaluates)
        elif self.setup.hardware.device.type == "cpu":
            self._check_finite()
        patience = self.settings.patience
        exhausted = patience is not None and position.evaluations_since_best >= patience
        position.finished = last or (evaluates and bool(self.group.broadcast(exhausted)))
        if position.finished or not self.group.is_main:
            return
        if self.setup.checkpoints is not None and self.setup.checkpoints.due:
            self._write_checkpoint()
        try:
            self.setup.tick(TRAINING, position.done / self.num_steps)
        except BaseException:
            self._write_checkpoint()
            raise

    def _report(self, *, evaluates: bool) -> None:
        self._check_finite()
        count, seconds = len(self.pending), time.perf_counter() - self.last_report_s
        scores = (evaluates or self.position.done in self.score_at) and self.group.is_main
        score = self._evaluate(may_choose=evaluates) if scores else None
        progress = Progress(
            optimizer_step=self.position.done,
            num_optimizer_steps=self.num_steps,
            loss=sum(float(result.loss) for result in self.pending) / count,
            learning_rate=self.stepper.learning_rate,
            gradient_norm=sum(float(result.norm) for result in self.pending) / count,
            sentences_per_s=sum(result.num_sentences for result in self.pending) / seconds,
            peak_memory_mb=peak_memory_mb(self.setup.hardware.device),
            dev_score=score,
        )
        self.position.reports.append(progress)
        self.setup.report(progress)
        self.pending, self.last_report_s = [], time.perf_counter()

    def _check_finite(self) -> None:
        """Raise TrainingError for the first pending optimizer step whose loss or gradient is not finite.

        Reading the values makes a GPU wait, so on a GPU this does not run after every optimizer step.
        """
        if not self.pending:
            return
        values = torch.stack([torch.stack([result.loss.float(), result.norm.float()]) for result in self.pending])
        good = torch.isfinite(values).all(dim=1)
        if bool(good.all()):
            return
        wrong = self.pending[int(good.logical_not().nonzero()[0])]
        if math.isfinite(wrong.loss):
            problem = f"The gradient became {float(wrong.norm)}"
        else:
            problem = f"The loss became {float(wrong.loss)}"
        rows = self.stepper.steps[wrong.number - 1][0]
        first = self.phase.examples.texts[self.phase.examples.index[rows[0], 0]]
        raise TrainingError(
            f"{problem} at optimizer step {wrong.number} of {self.num_steps}, on the batch of {len(rows)} rows that "
            f"begins with {first[:_MAX_SHOWN_CHARS]!r}. Lower the learning rate, or set precision=float32; "
            f"nothing was saved.{self._last_checkpoint_hint()}"
        )

    def _last_checkpoint_hint(self) -> str:
        checkpoints = self.setup.checkpoints
        saved = checkpoints.load() if checkpoints else None
        if checkpoints is None or saved is None:
            return ""
        return f" The checkpoint of optimizer step {saved.position['done']} is kept in {checkpoints.folder}."

    def _evaluate(self, *, may_choose: bool) -> float | None:
        """Return the dev score, None for a collapsed model.

        Args:
            may_choose: Whether the weights are copied if this score is the best so far. Without it, only the score is
                computed.
        """
        assert self.phase.dev is not None
        position = self.position
        score = self.phase.dev.score(self.model, self.setup.hardware)
        if not may_choose:
            return score
        position.evaluations_since_best += 1
        if score is not None and (position.best_score is None or score > position.best_score):
            position.best_score, position.best_at, position.evaluations_since_best = score, position.done, 0
            if self.settings.keep == "best" and position.done < self.num_steps:
                weights = self.stepper.weights.items()
                self.best = {name: weight.detach().to("cpu", copy=True) for name, weight in weights}
        return score

    def _restore_best(self) -> None:
        position = self.position
        if self.best and position.best_at < position.done:
            _copy_weights(self.stepper.weights, self.best)
            self.setup.notice(
                f"kept the weights of optimizer step {position.best_at}, dev {position.best_score:.4f}; "
                "later ones were no better"
            )

    def _write_checkpoint(self) -> None:
        """Write the weights; before the end of the phase also the state of the optimizer and of random numbers."""
        if self.setup.checkpoints is None:
            return
        self._check_finite()
        self.position.limit = self.stepper.limit
        tensors = {f"model.{name}": weight.detach().cpu() for name, weight in self.stepper.weights.items()}
        if not self.position.finished:
            tensors |= self.stepper.state() | {f"best.{name}": weight for name, weight in self.best.items()}
            for number, result in enumerate(self.pending):
                tensors[f"pending.{number:03}"] = torch.stack([result.loss.float(), result.norm.float()]).cpu()
        problem = self.setup.checkpoints.save(self.position.done, PhaseState(self.position.to_store(), tensors))
        if problem is not None:
            self.setup.notice(f"no checkpoint at optimizer step {self.position.done}, training continues: {problem}")

    def _restore(self, saved: PhaseState) -> None:
        self.position = position = _Position.from_stored(saved.position)
        _copy_weights(self.stepper.weights, {name: saved.tensors[f"model.{name}"] for name in self.stepper.weights})
        where = "at its end" if position.finished else f"after optimizer step {position.done} of {self.num_steps}"
        self.setup.notice(f"resumed {where}")
        for progress in position.reports:
            self.setup.report(progress)
        if position.finished:
            return
        self.stepper.limit = position.limit
        self.stepper.restore(saved.tensors)
        self.best = {
            name: saved.tensors[f"best.{name}"] for name in self.stepper.weights if f"best.{name}" in saved.tensors
        }
        names = sorted(name for name in saved.tensors if name.startswith("pending."))
        first = position.done - len(names) + 1
        for number, name in enumerate(names, start=first):
            loss, norm = saved.tensors[name].unbind()
            self.pending.append(StepResult(number, loss, norm, 0))


def _copy_weights(weights: Mapping[str, torch.nn.Parameter], values: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(values[name])


def _evaluation_steps(num_steps: int, settings: PhaseSettings) -> frozenset[int]:
    """Return the optimizer steps after which the dev pairs are scored: every `evaluate_every` epochs, and the last."""
    count = max(1, math.floor(settings.epochs / settings.evaluate_every))
    between = num_steps * settings.evaluate_every / settings.epochs
    return frozenset({min(num_steps, max(1, round(between * number))) for number in range(1, count + 1)} | {num_steps})
