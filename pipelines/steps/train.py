"""The train step: one phase, as one run that resumes from its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.console import deferring_signals, echo, exit_if_interrupted, phase_progress
from pipelines.progress import doing
from pipelines.steps.keys import phase_key
from pipelines.steps.records import lineage_tags, log_skipped, save
from pipelines.steps.reuse import find_finished_step, record_reuse
from sbert_prune.inputs.texts import data_record, sentences_of
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.training.phases import PHASES
from sbert_prune.training.setup import TrainerSetup
from sbert_prune.variant import Variant, teacher_of, train_phase
from sbert_prune.vocabulary.fit import TextFit, measure_fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from pipelines.steps.context import Context
    from sbert_prune.data.rows import RowSet, StsRow
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.tracking.runs import Run
    from sbert_prune.training.setup import Progress, Report
    from sbert_prune.training.teacher import Teacher

_FLUSH_EVERY_S = 5.0  # one request to a remote server takes longer than an optimizer step


@contextmanager
def phase_setup(context: Context, recipe: Recipe, run: Run, phase: str, *, key: str) -> Iterator[TrainerSetup]:
    """Yield the setup of one phase, and log its progress to the run.

    Args:
        context: The command's context.
        recipe: Sets the seed and how often checkpoints are written.
        run: The run of the step.
        phase: A name in PHASES.
        key: Identifies the phase; a phase with the same key resumes from its last checkpoint.
    """

    def notice(text: str) -> None:
        echo(f"{phase}: {text}")

    def tick(activity: str, share: float) -> None:
        doing(activity, share)
        exit_if_interrupted()

    checkpoints = context.unfinished.phase(key, every_s=60 * recipe.checkpoint_minutes, notify=notice)
    with phase_report(run, phase) as report, run.system_metrics(), deferring_signals():
        yield TrainerSetup(context.hardware, recipe.seed, report, tick, notice, checkpoints)


@contextmanager
def phase_report(run: Run, phase: str, *, flush_every_s: float = _FLUSH_EVERY_S) -> Iterator[Report]:
    """Yield the function that a phase reports its progress to; all progress is logged, even if the phase fails.

    Args:
        run: The run that metrics are logged to.
        phase: The phase; its name is the prefix of the metrics.
        flush_every_s: For how many seconds metrics are collected before they are logged together.
    """
    points: list[tuple[int, Mapping[str, float]]] = []
    flushed = time.monotonic()

    with phase_progress(PHASES[phase].step) as show:

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


def measure_text_fit(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> TextFit:
    """Measure how well the tokenizer fits the texts, and print the result with its warnings."""
    fit = measure_fit(tokenizer, texts, max_length)
    echo(f"tokenizer: {fit.line()}", *(f"warning: {warning}" for warning in fit.warnings()))
    return fit


def log_fit(run: Run, fit: TextFit) -> None:
    """Log how well the tokenizer fits the texts."""
    metrics = asdict(fit)
    run.log_metrics(
        {
            f"text/{key}": metrics[key]
            for key in ("unknown_rate", "pieces_per_word", "lost_marks", "truncated", "needed_length")
        }
    )
    run.set_tags({"script": fit.script})
    if warnings := fit.warnings():
        run.log_text("\n".join(warnings), "warnings.txt")


_TRAINING = ("seed", "precision", "save_precision", "device", "on_bad_rows")


def train(
    context: Context,
    recipe: Recipe,
    phase: str,
    source: SavedModel,
    rows: RowSet[Any],
    *,
    dev: RowSet[StsRow] | None = None,
    teacher: SavedModel | None = None,
) -> SavedModel:
    """Train one phase.

    Args:
        context: The command's context.
        recipe: The recipe; its settings of the phase apply.
        phase: A name in PHASES.
        source: The model to train; it stays as it is.
        rows: The rows of the phase.
        dev: The STS pairs that choose the weights to keep.
        teacher: The model whose embeddings the phase learns, if its settings distil.
    """
    step, origin = PHASES[phase].step, lineage_of(source)
    phase_teacher = teacher_of(recipe, phase, origin, teacher)
    key = train_key(context, recipe, phase, source, rows, dev=dev, teacher=phase_teacher)
    if (finished := find_finished_step(context, key)) is not None:
        return record_reuse(context, recipe, step, finished)
    with context.step(step, lineage_tags(origin) | {"step_key": key}, recipe, reads=(f"{phase}.", *_TRAINING)) as run:
        _log_rows(run, phase, rows)
        if phase_teacher is not None:
            echo(f"teacher {phase_teacher.source.uri}")
        variant = Variant.load(source, recipe)
        if context.parent is None:  # a longer command checks the texts once, before its first step
            tokenizer, length = variant.model.tokenizer, int(variant.model.max_seq_length)
            log_fit(run, measure_text_fit(tokenizer, sentences_of(rows), length))
        with phase_setup(context, recipe, run, phase, key=key) as setup:
            trained = train_phase(
                recipe, variant, phase, rows, setup, dev=dev, teacher=phase_teacher, run_id=run.run_id
            )
        return save(context, recipe, run, trained, key=key)


def train_key(
    context: Context,
    recipe: Recipe,
    phase: str,
    source: SavedModel,
    rows: RowSet[Any],
    *,
    dev: RowSet[StsRow] | None,
    teacher: Teacher | None,
) -> str:
    """Return the key of the step that `train` runs with these arguments."""
    digests = {"rows": rows.digest, "dev": dev.digest if dev else ""}
    taught_by = f"{teacher.source.checkpoint.fingerprint()} {teacher.layers}" if teacher else ""
    return phase_key(recipe, context.hardware, phase, source, data=digests, taught_by=taught_by)


def _log_rows(run: Run, phase: str, rows: RowSet[Any]) -> None:
    run.log_data(data_record(rows), "training")
    log_skipped(run, rows.name, rows.skipped)
    counts = {"rows": len(rows), "skipped_rows": rows.num_skipped, "leaks": rows.num_leaks}
    run.log_metrics({f"{phase}/{name}": float(count) for name, count in counts.items()})
