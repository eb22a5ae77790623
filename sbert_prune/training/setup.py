"""What a phase learns, and what it runs on."""

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
    from sbert_prune.training.losses import Objective


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a phase.

    loss, gradient_norm: means since the last report; the norm is the one before clipping.
    dev_score: Spearman on the dev pairs, -1 to 1, where they were looked at; None elsewhere.
    peak_memory_mb: of the process on a CPU, of the device elsewhere, in 10^6 bytes.
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
    """Tokenised rows, the rows of each batch, what is minimised on them, and the pairs that judge on the way."""

    examples: Examples
    batches: list[NDArray[np.intp]]
    objective: Objective
    dev: DevPairs | None = None


_REPORT_EVERY = 10  # reading the loss more often would stall a GPU


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class TrainerSetup:
    """What a phase runs on, its seed, and whom it speaks to.

    Attributes:
        hardware: What the phase runs on.
        seed: Decides the order of the rows and the dropout.
        report: Called with the progress.
        tick: Called between optimizer steps; whatever it raises ends the phase, behind a checkpoint.
        notice: Told what a user should know, such as a batch that had to be cut.
        checkpoints: Where the phase can be taken up again; None writes none.
        look_after: Shares of the phase, 0 to 1, after which the dev score is told besides; such a look chooses no weights.
        report_every: How many optimizer steps there are between two reports.
    """

    hardware: Hardware
    seed: int
    report: Report
    tick: Callable[[], None] = _nothing
    notice: Callable[[str], None] = print
    checkpoints: Checkpoints | None = None
    look_after: tuple[float, ...] = ()
    report_every: int = _REPORT_EVERY
