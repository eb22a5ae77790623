"""A phase of fine-tuning as it happens: shown to the user, logged to MLflow in batches, told to stop by signals."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.console import end_if_told, phase_progress, say, waiting_for_a_good_moment
from sbert_prune.training.setup import Setup

if TYPE_CHECKING:
    from pipelines.steps.context import Context
    from sbert_prune.tracking.runs import Run
    from sbert_prune.training.progress import Progress, Report

_FLUSH_EVERY_S = 5.0  # one call of a remote server's takes longer than an optimizer step


@contextmanager
def phase_setup(context: Context, run: Run, phase: str, key: str) -> Iterator[Setup]:
    """Yield what a phase runs on and whom it speaks to. key: names the phase; the same one goes on where it was."""

    def notice(text: str) -> None:
        say(f"{phase}: {text}")

    checkpoints = context.unfinished.phase(key, every_s=60 * context.recipe.checkpoint_minutes, say=notice)
    with phase_report(run, phase) as report, run.system_metrics(), waiting_for_a_good_moment():
        yield Setup(context.hardware, context.recipe.seed, report, end_if_told, notice, checkpoints)


@contextmanager
def phase_report(run: Run, phase: str, *, flush_every_s: float = _FLUSH_EVERY_S) -> Iterator[Report]:
    """Yield what a phase reports to. What was told is logged however the phase ends.

    Args:
        run: The run that metrics are logged to.
        phase: The phase; its name is the prefix of the metrics.
        flush_every_s: For how many seconds metrics are collected before they are logged together.
    """
    points: list[tuple[int, Mapping[str, float]]] = []
    flushed = time.monotonic()

    with phase_progress(phase if phase == "distil" else f"train_{phase}") as show:

        def report(progress: Progress) -> None:
            nonlocal flushed
            show(progress)
            points.append((progress.optimizer_step, _metrics(progress, phase)))
            if time.monotonic() - flushed >= flush_every_s:
                run.log_series(points)
                points.clear()
                flushed = time.monotonic()

        try:
            yield report
        finally:
            run.log_series(points)


def _metrics(progress: Progress, phase: str) -> dict[str, float]:
    values = asdict(progress)
    del values["optimizer_step"], values["num_optimizer_steps"]
    return {f"{phase}/{key}": value for key, value in values.items() if value is not None}
