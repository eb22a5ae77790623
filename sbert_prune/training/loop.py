"""One phase of fine-tuning: planned batches in, a trained sentence model out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sbert_prune.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from sbert_prune.recipe import PhaseSettings
    from sbert_prune.training.examples import Examples
    from sbert_prune.training.hardware import Hardware
    from sbert_prune.training.losses import EmbeddingLoss

_MAX_GRADIENT_NORM = 1.0
_REPORT_EVERY = 10  # optimizer steps; reading the loss more often would stall a GPU


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a phase stands. loss: mean since the last report."""

    optimizer_step: int
    num_optimizer_steps: int
    loss: float
    learning_rate: float
    sentences_per_s: float


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a phase runs on, its seed, and whom it reports to."""

    hardware: Hardware
    seed: int
    report: Report


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a phase learns: tokenised rows, the rows of each optimizer step, and the loss on them."""

    examples: Examples
    batches: list[NDArray[np.intp]]
    loss: EmbeddingLoss


def train(model: SentenceTransformer, lesson: Lesson, settings: PhaseSettings, setup: Setup) -> None:
    """Train the model in place with AdamW, linear warm-up and linear decay, and leave it on the CPU in evaluation mode.

    Raises TrainingError when the loss stops being a finite number.
    """
    hardware, batches = setup.hardware, lesson.batches
    model.to(hardware.device).train()
    parameters = [*model.parameters(), *lesson.loss.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0, fused=hardware.device.type != "mps")
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_up_then_decay(len(batches), settings.warmup_ratio))
    losses: list[torch.Tensor] = []
    sentences, since = 0, time.perf_counter()
    for step, rows in enumerate(batches, start=1):
        value = _batch_loss(model, lesson, rows, hardware)
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(parameters, _MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.detach())
        sentences += len(rows) * lesson.examples.index.shape[1]
        if step % _REPORT_EVERY == 0 or step == len(batches):
            mean = float(torch.stack(losses).mean())
            _check_finite(mean, step, len(batches))
            now = time.perf_counter()
            setup.report(Progress(step, len(batches), mean, float(schedule.get_last_lr()[0]), sentences / (now - since)))
            losses, sentences, since = [], 0, now
        schedule.step()
    model.to("cpu").eval()


def _batch_loss(model: SentenceTransformer, lesson: Lesson, rows: NDArray[np.intp], hardware: Hardware) -> torch.Tensor:
    examples = lesson.examples
    encoder, *others = model
    with hardware.autocast():
        features = encoder(examples.features(rows, hardware.device))
    # Pooling sums over tokens and normalises: in float32, where bfloat16 would lose the third digit of a similarity.
    features["token_embeddings"] = features["token_embeddings"].float()
    for module in others:
        features = module(features)
    embeddings = list(features["sentence_embedding"].chunk(examples.index.shape[1]))
    labels = None if examples.labels is None else examples.labels[torch.from_numpy(rows)].to(hardware.device)
    return lesson.loss(embeddings, labels)


def _warm_up_then_decay(num_steps: int, warmup_ratio: float) -> Callable[[int], float]:
    warmup = math.ceil(num_steps * warmup_ratio)

    def factor(step: int) -> float:
        return (step + 1) / (warmup + 1) if step < warmup else max(0.0, (num_steps - step) / max(1, num_steps - warmup))

    return factor


def _check_finite(loss: float, step: int, num_steps: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"The loss became {loss} by optimizer step {step} of {num_steps}. "
            "Lower the learning rate, or set precision=float32; nothing was saved."
        )
