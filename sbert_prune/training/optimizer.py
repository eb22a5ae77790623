"""One optimizer step after another: gradient, clipping, AdamW, and the state that going on takes."""

from __future__ import annotations

import gc
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sbert_prune.errors import TrainingError
from sbert_prune.system.memory import is_out_of_memory
from sbert_prune.training.gradients import Gradient, random_state, set_random_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.recipe.settings import PhaseSettings
    from sbert_prune.training.device import Hardware
    from sbert_prune.training.distributed import WorkerGroup
    from sbert_prune.training.setup import PhaseSetup

_MAX_GRADIENT_NORM = 1.0
_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class Stepped:
    """What an optimizer step left: loss and gradient norm before clipping, scalars on the device."""

    number: int
    loss: torch.Tensor
    norm: torch.Tensor
    num_sentences: int


@dataclass(frozen=True)
class Place:
    """Where a phase computes. notice: told when a batch had to be cut."""

    hardware: Hardware
    crew: WorkerGroup
    seed: int
    notice: Callable[[str], None]


class Stepper:
    """Takes optimizer steps on a model, in place.

    limit: sentences of one forward pass; halved where memory runs out.
    """

    def __init__(self, model: SentenceTransformer, lesson: PhaseSetup, settings: PhaseSettings, place: Place) -> None:
        self._model, self._lesson, self._settings, self._place = model, lesson, settings, place
        self.limit = settings.mini_batch_size
        self.weights = dict(model.named_parameters())
        device = place.hardware.device
        of_loss = lesson.objective.parameters()
        for parameter in of_loss:
            parameter.data = parameter.data.to(device)
        self._trained = {f"model.{name}": weight for name, weight in self.weights.items()} | {
            f"loss.{number}": parameter for number, parameter in enumerate(of_loss)
        }
        rate, parameters = settings.learning_rate, list(self._trained.values())
        self._optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0, fused=device.type != "mps")
        size = settings.accumulate
        self.steps = [lesson.batches[start : start + size] for start in range(0, len(lesson.batches), size)]

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self, number: int) -> Stepped:
        """Take the optimizer step with this number, counted from 0.

        Raises TrainingError where one sentence alone does not fit into memory.
        """
        rate = self._settings.learning_rate * rate_factor(number, len(self.steps), self._settings.warmup_ratio)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        crew = self._place.crew
        if not crew.leads:  # helpers draw other dropout than the leading process, and the same again after a resumption
            torch.manual_seed(self._place.seed * 1_000_003 + number * 1_009 + crew.rank)
        loss = self._gradients(number)
        crew.add_up(self.weights.values())
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), _MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad()
        count = sum(map(len, self.steps[number])) * self._lesson.examples.index.shape[1]
        return Stepped(number + 1, loss, norm.detach(), count)

    def _gradients(self, number: int) -> torch.Tensor:
        """The gradient of one optimizer step, in smaller and smaller passes until it fits into memory. Returns the mean loss."""
        hardware, batches = self._place.hardware, self.steps[number]
        before = random_state(hardware.device)
        while True:
            gradient = Gradient(self._model, self._lesson.examples, self._lesson.objective, hardware, self.limit, self._place.crew)
            losses: list[torch.Tensor] = []
            try:
                for rows in batches:
                    losses.append(self._add(gradient, rows, number, len(losses)))
                return torch.stack(losses).mean()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(number, rows, error)
            self._optimizer.zero_grad()
            gc.collect()  # an error that left the backward pass may hold its tensors in a circle
            set_random_state(hardware.device, before)
            if hardware.device.type == "cuda":
                torch.cuda.empty_cache()

    def _add(self, gradient: Gradient, rows: NDArray[np.intp], number: int, at: int) -> torch.Tensor:
        batches = len(self.steps[number])
        return gradient.add(rows, number * self._settings.accumulate + at, share=1 / batches)

    def _halve(self, number: int, rows: NDArray[np.intp], error: BaseException) -> None:
        """Lower the limit to half of what these rows took. Raises TrainingError where there is no half."""
        sentences = range(len(rows) * self._lesson.examples.index.shape[1])
        share = len(sentences[self._place.crew.share(len(sentences))])
        now = min(self.limit or share, share)  # a limit above the batch has cut nothing
        if now == 1 or self._place.crew.size > 1:
            raise TrainingError(
                f"Out of memory at optimizer step {number + 1} of {len(self.steps)}, with {now} sentences in one forward pass. "
                + ("Set mini_batch_size." if now > 1 else "Lower max_seq_length, or take a machine with more memory.")
            ) from error
        self.limit = -(-now // 2)
        self._place.notice(
            f"out of memory with {now} sentences in one forward pass: going on with {self.limit} at a time, the gradient is the same"
        )

    def state(self) -> dict[str, torch.Tensor]:
        """All that going on takes besides the model's weights, by name, on the CPU."""
        tensors = {name: own.detach().cpu() for name, own in self._trained.items() if name.startswith("loss.")}
        for name, parameter in self._trained.items():
            tensors |= {f"optimizer.{key}.{name}": value.detach().cpu() for key, value in self._optimizer.state[parameter].items()}
        states = random_state(self._place.hardware.device)
        return tensors | {f"random.{number}": state for number, state in enumerate(states)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from a state."""
        for name, parameter in self._trained.items():
            if name.startswith("loss."):
                with torch.no_grad():
                    parameter.copy_(tensors[name])
            kept = {key: tensors[f"optimizer.{key}.{name}"] for key in _STATE if f"optimizer.{key}.{name}" in tensors}
            self._optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in kept.items()}
        if self._place.crew.leads:
            names = sorted(name for name in tensors if name.startswith("random."))
            set_random_state(self._place.hardware.device, [tensors[name] for name in names])


def rate_factor(step: int, num_steps: int, warmup_ratio: float) -> float:
    """Share of the highest learning rate at an optimizer step, counted from 0: a linear rise, then a linear fall that never reaches 0."""
    warmup = math.ceil(num_steps * warmup_ratio)
    return (step + 1) / (warmup + 1) if step < warmup else max(0.0, (num_steps - step) / max(1, num_steps - warmup))
