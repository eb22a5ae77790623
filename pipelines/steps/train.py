"""The train steps: nli, sts and distil, each one run that resumes from its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from transformers import AutoTokenizer

from pipelines.console import deferring_signals, echo, exit_if_interrupted, phase_progress
from pipelines.inputs.load import teacher_layers
from pipelines.inputs.texts import SAMPLE, sentences_of, spread
from pipelines.steps.keys import phase_key
from pipelines.steps.records import as_sentence_model, data_record, lineage_tags, log_skipped, save
from pipelines.steps.reuse import find_finished_step, record_reuse
from sbert_prune.errors import EncoderError
from sbert_prune.models.lineage import PhaseRecord, TeacherRecord
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.models.sentence import PROBES, check_embeddings, embed, with_pooling
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup
from sbert_prune.training.teacher import Teacher
from sbert_prune.vocabulary.fit import TextFit, measure_fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedTokenizerBase

    from pipelines.steps.context import Context
    from sbert_prune.data.rows import NliRow, RowSet, StsRow
    from sbert_prune.models.lineage import DataRecord, Lineage
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.recipe.settings import PhaseSettings
    from sbert_prune.tracking.runs import Run
    from sbert_prune.training.setup import Progress, Report

_FLUSH_EVERY_S = 5.0  # one request to a remote server takes longer than an optimizer step


@contextmanager
def phase_setup(context: Context, recipe: Recipe, run: Run, phase: str, *, key: str) -> Iterator[TrainerSetup]:
    """Yield the setup of one phase, and log its progress to the run.

    Args:
        context: The command's context.
        recipe: Sets the seed and how often checkpoints are written.
        run: The run of the step.
        phase: "nli", "sts" or "distil".
        key: Identifies the phase; a phase with the same key resumes from its last checkpoint.
    """

    def notice(text: str) -> None:
        echo(f"{phase}: {text}")

    checkpoints = context.unfinished.phase(key, every_s=60 * recipe.checkpoint_minutes, notify=notice)
    with phase_report(run, phase) as report, run.system_metrics(), deferring_signals():
        yield TrainerSetup(context.hardware, recipe.seed, report, exit_if_interrupted, notice, checkpoints)


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


def tokenizer_of(model: SavedModel) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a saved model. Raises EncoderError if it cannot be read."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(model.folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(f"{model.uri}: its tokenizer cannot be read ({reason}). Fetch its files again.") from error
    return tokenizer


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


_TRAINING = ("seed", "precision", "device", "on_bad_rows")


@dataclass(frozen=True)
class _Phase:
    """One phase and its data.

    Attributes:
        name: "nli", "sts" or "distil".
        data: The record of its rows.
        skipped: A message for each row that was left out.
        texts: Returns a sample of its sentences.
        train: Trains the phase.
    """

    name: str
    data: DataRecord
    skipped: tuple[str, ...]
    texts: Callable[[], list[str]]
    train: Callable[[PhaseTrainer], None]


def train_nli(
    context: Context,
    recipe: Recipe,
    source: SavedModel,
    rows: RowSet[NliRow],
    *,
    dev: RowSet[StsRow] | None = None,
    teacher: SavedModel | None = None,
) -> SavedModel:
    """Run the NLI phase: fine-tune a model on natural language inference.

    Args:
        context: The command's context.
        recipe: The recipe; its `nli` settings apply.
        source: The model to fine-tune; it stays as it is.
        rows: The training rows.
        dev: The STS pairs that choose the weights to keep.
        teacher: The model whose embeddings the phase also learns, if its settings distil.
    """
    phase = _Phase(
        name="nli",
        data=data_record(rows),
        skipped=rows.skipped,
        texts=lambda: sentences_of(rows),
        train=lambda trainer: trainer.train_nli(rows.rows, recipe.nli),
    )
    return _run_phase(context, recipe, source, phase, dev=dev, teacher=teacher)


def train_sts(
    context: Context,
    recipe: Recipe,
    source: SavedModel,
    rows: RowSet[StsRow],
    *,
    dev: RowSet[StsRow] | None = None,
    teacher: SavedModel | None = None,
) -> SavedModel:
    """Run the STS phase: fine-tune a model on semantic textual similarity. The arguments are those of `train_nli`."""
    phase = _Phase(
        name="sts",
        data=data_record(rows),
        skipped=rows.skipped,
        texts=lambda: sentences_of(rows),
        train=lambda trainer: trainer.train_sts(rows.rows, recipe.sts),
    )
    return _run_phase(context, recipe, source, phase, dev=dev, teacher=teacher)


def distil(
    context: Context,
    recipe: Recipe,
    source: SavedModel,
    sentences: list[str],
    record: DataRecord,
    *,
    dev: RowSet[StsRow] | None = None,
    teacher: SavedModel | None = None,
) -> SavedModel:
    """Run the distillation phase: learn a teacher's embeddings of sentences without labels.

    Args:
        context: The command's context.
        recipe: The recipe; its `distil` settings apply.
        source: The model to fine-tune; it stays as it is.
        sentences: The sentences to embed.
        record: The record of the sentences, for the lineage.
        dev: The STS pairs that choose the weights to keep.
        teacher: The model whose embeddings are learnt.
    """
    phase = _Phase(
        name="distil",
        data=record,
        skipped=(),
        texts=lambda: spread(sentences, SAMPLE),
        train=lambda trainer: trainer.distil(sentences, recipe.distil),
    )
    return _run_phase(context, recipe, source, phase, dev=dev, teacher=teacher)


def _run_phase(
    context: Context,
    recipe: Recipe,
    source: SavedModel,
    phase: _Phase,
    *,
    dev: RowSet[StsRow] | None,
    teacher: SavedModel | None,
) -> SavedModel:
    step = phase.name if phase.name == "distil" else f"train_{phase.name}"
    phase_teacher = _phase_teacher(recipe, source, phase.name, teacher)
    digests = {"rows": phase.data.digest, "dev": dev.digest if dev else ""}
    taught_by = f"{phase_teacher.source.checkpoint.fingerprint()} {phase_teacher.layers}" if phase_teacher else ""
    key = phase_key(recipe, context.hardware, phase.name, source, data=digests, taught_by=taught_by)
    if (finished := find_finished_step(context, key)) is not None:
        return record_reuse(context, recipe, step, finished)
    tags = lineage_tags(lineage_of(source)) | {"step_key": key}
    with context.step(step, tags, recipe, reads=(f"{phase.name}.", *_TRAINING)) as run:
        _log_rows(run, phase)
        if phase_teacher is not None:
            echo(f"teacher {phase_teacher.source.uri}")
        model, lineage = _train(context, recipe, run, source, phase, dev=dev, teacher=phase_teacher, key=key)
        check_embeddings(embed(model, PROBES), f"The model after {step}")
        return save(context, recipe, run, model, lineage, key=key)


def _phase_teacher(recipe: Recipe, source: SavedModel, phase: str, teacher: SavedModel | None) -> Teacher | None:
    """Return the teacher of a phase, for distillation with the layers to learn from; None if labels alone are used."""
    distils = phase == "distil"
    if teacher is None or not (distils or getattr(getattr(recipe, phase), "distillation", 0) > 0):
        return None
    return Teacher(teacher, teacher_layers(recipe, lineage_of(source), teacher) if distils else None)


def _log_rows(run: Run, phase: _Phase) -> None:
    run.log_data(phase.data, "training")
    log_skipped(run, phase.data.name, phase.skipped)
    counts = {"rows": phase.data.rows, "skipped_rows": phase.data.skipped, "leaks": phase.data.leaks}
    run.log_metrics({f"{phase.name}/{name}": float(count) for name, count in counts.items()})


def _train(
    context: Context,
    recipe: Recipe,
    run: Run,
    source: SavedModel,
    phase: _Phase,
    *,
    dev: RowSet[StsRow] | None,
    teacher: Teacher | None,
    key: str,
) -> tuple[SentenceTransformer, Lineage]:
    """Return the trained model with its lineage."""
    lineage = lineage_of(source)
    settings: PhaseSettings = getattr(recipe, phase.name)
    model = as_sentence_model(source, recipe)
    if context.parent is None:  # a longer command checks the texts once, before its first step
        log_fit(run, measure_text_fit(model.tokenizer, phase.texts(), int(model.max_seq_length)))
    if (pooling := getattr(settings, "pooling", None)) is not None:
        model = with_pooling(model, pooling, max_seq_length=model.max_seq_length)
        lineage = lineage.pooled(pooling)
    with phase_setup(context, recipe, run, phase.name, key=key) as setup:
        phase.train(PhaseTrainer(model, setup, dev=dev.rows if dev else None, teacher=teacher))
    record = PhaseRecord(
        phase=phase.name,
        settings=settings.model_dump(mode="json"),
        data=phase.data,
        seed=recipe.seed,
        precision=context.hardware.precision,
        teacher=TeacherRecord(id=teacher.source.uri, sha256=teacher.source.checkpoint.sha256()) if teacher else None,
        run_id=run.run_id,
    )
    return model, lineage.after(record)
