"""A phase of fine-tuning as it happens: shown to the user, logged to MLflow in batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.console import end_if_told, phase_progress

if TYPE_CHECKING:
    from sbert_prune.tracking import Run
    from sbert_prune.training.loop import Progress, Report

_FLUSH_EVERY_S = 5.0  # one call of a remote server's takes longer than an optimizer step


@contextmanager
def phase_report(run: Run, phase: str) -> Iterator[Report]:
    """Yield what a phase reports to; metrics get the phase's name as prefix."""
    points: list[tuple[int, Mapping[str, float]]] = []
    flushed = time.monotonic()

    with phase_progress(f"train_{phase}") as show:

        def report(progress: Progress) -> None:
            nonlocal flushed
            end_if_told()
            show(progress)
            values = {"loss": progress.loss, "learning_rate": progress.learning_rate, "sentences_per_s": progress.sentences_per_s}
            points.append((progress.optimizer_step, {f"{phase}/{key}": value for key, value in values.items()}))
            if time.monotonic() - flushed >= _FLUSH_EVERY_S:
                run.log_series(points)
                points.clear()
                flushed = time.monotonic()

        yield report
    run.log_series(points)
