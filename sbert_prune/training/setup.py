"""The values that describe a phase and the conditions under which it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sbert_prune.training.batches import Examples
    from sbert_prune.training.checkpoints import Checkpoints
    from sbert_prune.training.device import Hardware
    from sbert_prune.training.embedding import DevPairs
    from sbert_prune.training.objective import Objective


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a phase.

    Attributes:
        optimizer_step: Optimizer steps taken.
        num_optimizer_steps: Optimizer steps of the whole phase.
        loss: Mean since the last report.
        learning_rate: Of the last optimizer step.
        gradient_norm: Mean norm before clipping since the last report.
        sentences_per_s: Since the last report.
        peak_memory_mb: Of the process on a CPU, of the device elsewhere, in 10^6 bytes.
        dev_score: Spearman on the dev pairs, -1 to 1; None where it was not computed.
    """

    optimizer_step: int
    num_optimizer_steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    sentences_per_s: float
    peak_memory_mb: float
    dev_score: float | None = None


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class PhaseSetup:
    """The data and the objective of a phase.

    Attributes:
        examples: The tokenised rows.
        batches: The row numbers of each batch.
        objective: The loss to minimise.
        dev: The pairs that choose the weights; None keeps the last weights.
    """

    examples: Examples
    batches: list[NDArray[np.intp]]
    objective: Objective
    dev: DevPairs | None = None


_REPORT_EVERY = 10  # reading the loss more often would stall a GPU


TOKENISING, TEACHING, TRAINING = "tokenising", "embedding by the teacher", "training"


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class TrainerSetup:
    """The device, seed, callbacks and checkpoints of a phase.

    Attributes:
        hardware: The device and precision.
        seed: Decides the order of the rows and the dropout.
        report: Called with the progress.
        tick: Called between optimizer steps, and between parts of the work before them, with what is being done
            (TOKENISING, TEACHING or TRAINING) and the share of it that is done, 0 to 1. An exception that it raises
            ends the phase, while training after a checkpoint.
        notice: Called with messages for the user, such as that a batch had to be split.
        checkpoints: Where the phase is saved and resumed from; None writes none.
        score_after: Shares of the phase, 0 to 1, after which the dev score is reported as well. These scores choose no
            weights.
        report_every: Optimizer steps between two reports.
    """

    hardware: Hardware
    seed: int
    report: Report
    tick: Callable[[str, float], None] = _nothing
    notice: Callable[[str], None] = print
    checkpoints: Checkpoints | None = None
    score_after: tuple[float, ...] = ()
    report_every: int = _REPORT_EVERY
