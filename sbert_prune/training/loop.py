"""One phase of fine-tuning: planned batches in, a trained sentence model out; killed at any moment, it goes on from its last checkpoint."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from sbert_prune.errors import TrainingError
from sbert_prune.system.memory import peak_memory_mb
from sbert_prune.training.checkpoints import Saved
from sbert_prune.training.compact_vocabulary import compact_vocabulary
from sbert_prune.training.distributed import WorkerGroup, join_group
from sbert_prune.training.optimizer import Place, Stepped, Stepper
from sbert_prune.training.setup import PhaseSetup, Progress, TrainerSetup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from sbert_prune.recipe.settings import PhaseSettings

_SHOWN = 60  # characters of a sentence in an error


def train(model: SentenceTransformer, lesson: PhaseSetup, settings: PhaseSettings, setup: TrainerSetup) -> None:
    """Train the model in place with AdamW, linear warm-up and linear decay, and leave it on the CPU in evaluation mode.

    Raises TrainingError when the loss or the gradient stops being a finite number, or one sentence alone does not fit into memory.
    """
    crew = join_group()
    saved = setup.checkpoints.load() if setup.checkpoints else None
    crew.tell((model, lesson, settings, setup.hardware, setup.seed, saved))
    _train(model, lesson, settings, (setup, crew, saved))


def run_worker() -> None:
    """What a helper does until the leading process parts: its share of every phase."""
    crew = join_group()
    while (told := crew.tell(None)) is not None:
        model, lesson, settings, hardware, seed, saved = told
        setup = TrainerSetup(hardware.for_worker(), seed, report=lambda _progress: None, notice=lambda _text: None)
        _train(model, lesson, settings, (setup, crew, saved))
    distributed.destroy_process_group()


def _train(
    model: SentenceTransformer, lesson: PhaseSetup, settings: PhaseSettings, how: tuple[TrainerSetup, WorkerGroup, Saved | None]
) -> None:
    setup, crew, saved = how
    parts = (lesson.examples,) if lesson.dev is None else (lesson.examples, lesson.dev.examples)
    with compact_vocabulary(model, parts) as (examples, *dev):
        lesson = replace(lesson, examples=examples, dev=lesson.dev.with_examples(dev[0]) if lesson.dev else None)
        model.to(setup.hardware.device).train()
        try:
            _Phase(model, lesson, settings, setup, crew).run(saved)
        finally:
            model.to("cpu").eval()


@dataclass
class _Position:
    """Where a phase is. done: optimizer steps.  best_at: the one with the best dev score.  looks: since then.  limit: see Stepper."""

    done: int = 0
    best_score: float | None = None
    best_at: int = 0
    looks: int = 0
    limit: int | None = None
    finished: bool = False
    told: list[Progress] = field(default_factory=list)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> _Position:
        return cls(**{**plain, "told": [Progress(**progress) for progress in plain["told"]]})


class _Phase:
    """A phase on its way."""

    def __init__(
        self, model: SentenceTransformer, lesson: PhaseSetup, settings: PhaseSettings, setup: TrainerSetup, crew: WorkerGroup
    ) -> None:
        self.model, self.lesson, self.settings, self.setup, self.crew = model, lesson, settings, setup, crew
        self.stepper = Stepper(model, lesson, settings, Place(setup.hardware, crew, setup.seed, setup.notice))
        self.num_steps = len(self.stepper.steps)
        self.looks_at = _looks(self.num_steps, settings) if lesson.dev else frozenset()
        self.told_at = frozenset(max(1, round(share * self.num_steps)) for share in setup.look_after) if lesson.dev else frozenset()
        self.position = _Position(limit=settings.mini_batch_size)
        self.best: dict[str, torch.Tensor] = {}
        self.pending: list[Stepped] = []
        self.since = time.perf_counter()

    def run(self, saved: Saved | None) -> None:
        if saved is not None:
            self._restore(saved)
            if self.position.finished:
                return
        while not self.position.finished:
            self.pending.append(self.stepper.step(self.position.done))
            self.position.done += 1
            self._look_up()
        self._take_best()
        self._write_checkpoint()

    def _look_up(self) -> None:
        """Between two optimizer steps: report, look at the dev pairs, write a checkpoint, ask for signals."""
        position, last = self.position, self.position.done == self.num_steps
        looks = position.done in self.looks_at
        if looks or last or position.done in self.told_at or position.done % self.setup.report_every == 0:
            self._report(looks=looks)
        elif self.setup.hardware.device.type == "cpu":
            self._check()
        patience = self.settings.patience
        position.finished = last or (looks and bool(self.crew.tell(patience is not None and position.looks >= patience)))
        if position.finished or not self.crew.leads:
            return
        if self.setup.checkpoints is not None and self.setup.checkpoints.due:
            self._write_checkpoint()
        try:
            self.setup.tick()
        except BaseException:
            self._write_checkpoint()
            raise

    def _report(self, *, looks: bool) -> None:
        self._check()
        count, seconds = len(self.pending), time.perf_counter() - self.since
        score = self._look(chooses=looks) if (looks or self.position.done in self.told_at) and self.crew.leads else None
        progress = Progress(
            optimizer_step=self.position.done,
            num_optimizer_steps=self.num_steps,
            loss=sum(float(stepped.loss) for stepped in self.pending) / count,
            learning_rate=self.stepper.learning_rate,
            gradient_norm=sum(float(stepped.norm) for stepped in self.pending) / count,
            sentences_per_s=sum(stepped.num_sentences for stepped in self.pending) / seconds,
            peak_memory_mb=peak_memory_mb(self.setup.hardware.device),
            dev_score=score,
        )
        self.position.told.append(progress)
        self.setup.report(progress)
        self.pending, self.since = [], time.perf_counter()

    def _check(self) -> None:
        """Find the first optimizer step that went wrong. On a GPU this waits for the device, so it is not asked after every one."""
        if not self.pending:
            return
        values = torch.stack([torch.stack([stepped.loss.float(), stepped.norm.float()]) for stepped in self.pending])
        good = torch.isfinite(values).all(dim=1)
        if bool(good.all()):
            return
        wrong = self.pending[int(good.logical_not().nonzero()[0])]
        what = f"The loss became {float(wrong.loss)}" if not math.isfinite(wrong.loss) else f"The gradient became {float(wrong.norm)}"
        rows = self.stepper.steps[wrong.number - 1][0]
        first = self.lesson.examples.texts[self.lesson.examples.index[rows[0], 0]]
        raise TrainingError(
            f"{what} at optimizer step {wrong.number} of {self.num_steps}, on the batch of {len(rows)} rows that begins with "
            f"{first[:_SHOWN]!r}. Lower the learning rate, or set precision=float32; "
            f"nothing was saved.{self._last_good()}"
        )

    def _last_good(self) -> str:
        checkpoints = self.setup.checkpoints
        saved = checkpoints.load() if checkpoints else None
        if checkpoints is None or saved is None:
            return ""
        return f" The checkpoint of optimizer step {saved.position['done']} is kept in {checkpoints.folder}."

    def _look(self, *, chooses: bool) -> float | None:
        """The dev score now, None for a model that has none; the weights are put aside when it is the best so far, and may be chosen."""
        assert self.lesson.dev is not None
        position = self.position
        score = self.lesson.dev.score(self.model, self.setup.hardware)
        if not chooses:
            return score
        position.looks += 1
        if score is not None and (position.best_score is None or score > position.best_score):
            position.best_score, position.best_at, position.looks = score, position.done, 0
            if self.settings.keep == "best" and position.done < self.num_steps:
                self.best = {name: weight.detach().to("cpu", copy=True) for name, weight in self.stepper.weights.items()}
        return score

    def _take_best(self) -> None:
        position = self.position
        if self.best and position.best_at < position.done:
            _put(self.stepper.weights, self.best)
            self.setup.notice(
                f"kept the weights of optimizer step {position.best_at}, dev {position.best_score:.4f}; later ones were no better"
            )

    def _write_checkpoint(self) -> None:
        """The end of a phase takes its weights alone; on the way there, going on takes more."""
        if self.setup.checkpoints is None:
            return
        self._check()
        self.position.limit = self.stepper.limit
        tensors = {f"model.{name}": weight.detach().cpu() for name, weight in self.stepper.weights.items()}
        if not self.position.finished:
            tensors |= self.stepper.state() | {f"best.{name}": weight for name, weight in self.best.items()}
            for number, stepped in enumerate(self.pending):
                tensors[f"pending.{number:03}"] = torch.stack([stepped.loss.float(), stepped.norm.float()]).cpu()
        problem = self.setup.checkpoints.save(self.position.done, Saved(asdict(self.position), tensors))
        if problem is not None:
            self.setup.notice(f"no checkpoint at optimizer step {self.position.done}, training goes on: {problem}")

    def _restore(self, saved: Saved) -> None:
        self.position = position = _Position.of(saved.position)
        _put(self.stepper.weights, {name: saved.tensors[f"model.{name}"] for name in self.stepper.weights})
        where = "at its end" if position.finished else f"after optimizer step {position.done} of {self.num_steps}"
        self.setup.notice(f"taken up again {where}")
        for progress in position.told:
            self.setup.report(progress)
        if position.finished:
            return
        self.stepper.limit = position.limit
        self.stepper.restore(saved.tensors)
        self.best = {name: saved.tensors[f"best.{name}"] for name in self.stepper.weights if f"best.{name}" in saved.tensors}
        found = sorted(name for name in saved.tensors if name.startswith("pending."))
        first = position.done - len(found) + 1
        for place, name in enumerate(found):
            loss, norm = saved.tensors[name].unbind()
            self.pending.append(Stepped(first + place, loss, norm, 0))


def _put(weights: Mapping[str, torch.nn.Parameter], values: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(values[name])


def _looks(num_steps: int, settings: PhaseSettings) -> frozenset[int]:
    """After which optimizer steps the dev pairs are looked at: every so many epochs, and at the end."""
    count = max(1, math.floor(settings.epochs / settings.evaluate_every))
    between = num_steps * settings.evaluate_every / settings.epochs
    return frozenset({min(num_steps, max(1, round(between * number))) for number in range(1, count + 1)} | {num_steps})
