"""Optimizer steps: gradient, clipping, AdamW, and the state that resuming needs."""

from __future__ import annotations

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
class StepResult:
    """The loss and the gradient norm before clipping of one optimizer step, scalars on the device."""

    number: int
    loss: torch.Tensor
    norm: torch.Tensor
    num_sentences: int


class Stepper:
    """Takes optimizer steps on a model, in place.

    Attributes:
        limit: Sentences in one forward pass; halved when memory runs out. None: all of a batch.
        weights: The model's parameters by name.
        steps: For each optimizer step, its batches as row numbers.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        phase: PhaseSetup,
        settings: PhaseSettings,
        *,
        hardware: Hardware,
        group: WorkerGroup,
        seed: int,
        notice: Callable[[str], None],
    ) -> None:
        """Create the optimizer.

        Args:
            model: The model to train.
            phase: The rows, batches and objective.
            settings: The settings of the phase.
            hardware: The device and precision of the forward passes.
            group: The processes that train together.
            seed: Decides the dropout of worker processes.
            notice: Called with a message when a batch is split because memory ran out.
        """
        self._model, self._phase, self._settings = model, phase, settings
        self._hardware, self._group, self._seed, self._notice = hardware, group, seed, notice
        self.limit = settings.mini_batch_size
        self.weights = dict(model.named_parameters())
        loss_parameters = phase.objective.parameters()
        for parameter in loss_parameters:
            parameter.data = parameter.data.to(hardware.device)
        self._trained = {f"model.{name}": weight for name, weight in self.weights.items()} | {
            f"loss.{number}": parameter for number, parameter in enumerate(loss_parameters)
        }
        rate, parameters = settings.learning_rate, list(self._trained.values())
        fused = hardware.device.type != "mps"
        self._optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0, fused=fused)
        size = settings.accumulate
        self.steps = [phase.batches[start : start + size] for start in range(0, len(phase.batches), size)]

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self, number: int) -> StepResult:
        """Take the optimizer step with this number, counted from 0.

        Raises:
            TrainingError: A single sentence does not fit into memory.
        """
        rate = self._settings.learning_rate * rate_factor(number, len(self.steps), self._settings.warmup_ratio)
        for param_group in self._optimizer.param_groups:
            param_group["lr"] = rate
        if not self._group.is_main:  # dropout differs from the main process's, and is the same again after resuming
            torch.manual_seed(self._seed * 1_000_003 + number * 1_009 + self._group.rank)
        loss = self._compute_gradient(number)
        self._group.sum_gradients(self.weights.values())
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), _MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad()
        count = sum(map(len, self.steps[number])) * self._phase.examples.index.shape[1]
        return StepResult(number + 1, loss, norm.detach(), count)

    def _compute_gradient(self, number: int) -> torch.Tensor:
        """Compute the gradient of one optimizer step and return the mean loss.

        The passes get smaller until they fit into memory.
        """
        hardware, batches = self._hardware, self.steps[number]
        before = random_state(hardware.device)
        while True:
            gradient = Gradient(
                self._model, self._phase.examples, self._phase.objective, hardware, self.limit, self._group
            )
            losses: list[torch.Tensor] = []
            try:
                for rows in batches:
                    losses.append(self._add_batch(gradient, rows, number, len(losses)))
                return torch.stack(losses).mean()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve_limit(number, rows, error)
            self._optimizer.zero_grad()
            set_random_state(hardware.device, before)
            if hardware.device.type == "cuda":
                torch.cuda.empty_cache()

    def _add_batch(self, gradient: Gradient, rows: NDArray[np.intp], number: int, position: int) -> torch.Tensor:
        num_batches = len(self.steps[number])
        return gradient.add(rows, number * self._settings.accumulate + position, share=1 / num_batches)

    def _halve_limit(self, number: int, rows: NDArray[np.intp], error: BaseException) -> None:
        """Lower the limit to half of what these rows took. Raises TrainingError if it cannot be halved."""
        sentences = range(len(rows) * self._phase.examples.index.shape[1])
        share = len(sentences[self._group.share(len(sentences))])
        now = min(self.limit or share, share)  # a limit above the batch's size had no effect
        if now == 1 or self._group.size > 1:
            raise TrainingError(
                f"Out of memory at optimizer step {number + 1} of {len(self.steps)}, with {now} sentences in one "
                "forward pass. "
                + ("Set mini_batch_size." if now > 1 else "Lower max_seq_length, or take a machine with more memory.")
            ) from error
        self.limit = -(-now // 2)
        self._notice(
            f"out of memory with {now} sentences in one forward pass: continuing with {self.limit} at a time, "
            "the gradient is the same"
        )

    def state(self) -> dict[str, torch.Tensor]:
        """Return everything besides the model's weights that resuming needs, by name, on the CPU."""
        trained = self._trained.items()
        tensors = {name: parameter.detach().cpu() for name, parameter in trained if name.startswith("loss.")}
        for name, parameter in trained:
            values = self._optimizer.state[parameter].items()
            tensors |= {f"optimizer.{key}.{name}": value.detach().cpu() for key, value in values}
        states = random_state(self._hardware.device)
        return tensors | {f"random.{number}": state for number, state in enumerate(states)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Load what `state` returned."""
        for name, parameter in self._trained.items():
            if name.startswith("loss."):
                with torch.no_grad():
                    parameter.copy_(tensors[name])
            values = {key: tensors[f"optimizer.{key}.{name}"] for key in _STATE if f"optimizer.{key}.{name}" in tensors}
            self._optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in values.items()}
        if self._group.is_main:
            names = sorted(name for name in tensors if name.startswith("random."))
            set_random_state(self._hardware.device, [tensors[name] for name in names])


def rate_factor(step: int, num_steps: int, warmup_ratio: float) -> float:
    """Return the learning rate at an optimizer step, counted from 0, as a share of the highest one.

    It rises linearly, then falls linearly, and never reaches 0.
    """
    warmup = math.ceil(num_steps * warmup_ratio)
    return (step + 1) / (warmup + 1) if step < warmup else max(0.0, (num_steps - step) / max(1, num_steps - warmup))
