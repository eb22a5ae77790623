"""The steps that heal a cut: nli, sts and distil, each a run that goes on from its last checkpoint."""

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
from pipelines.steps.reuse import find_done, take_over
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

_FLUSH_EVERY_S = 5.0  # one call of a remote server's takes longer than an optimizer step


@contextmanager
def phase_setup(context: Context, recipe: Recipe, run: Run, phase: str, key: str) -> Iterator[TrainerSetup]:
    """Yield what a phase runs on and whom it speaks to. key: names the phase; the same one goes on where it was."""

    def notice(text: str) -> None:
        echo(f"{phase}: {text}")

    checkpoints = context.unfinished.phase(key, every_s=60 * recipe.checkpoint_minutes, notify=notice)
    with phase_report(run, phase) as report, run.system_metrics(), deferring_signals():
        yield TrainerSetup(context.hardware, recipe.seed, report, exit_if_interrupted, notice, checkpoints)


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


def tokenizer_of(model: SavedModel) -> PreTrainedTokenizerBase:
    """The tokenizer of a saved model. Raises EncoderError for one that cannot be read."""
    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(model.folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(f"{model.uri}: its tokenizer cannot be read ({reason}). Fetch its files again.") from error
    return found


def measure_text_fit(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> TextFit:
    """Say how the tokenizer cuts the texts, and warn where it does not fit them."""
    fit = measure_fit(tokenizer, texts, max_length)
    echo(f"tokenizer: {fit.line()}", *(f"warning: {warning}" for warning in fit.warnings()))
    return fit


def log_fit(run: Run, fit: TextFit) -> None:
    """Leave in the record what was said."""
    measured = asdict(fit)
    run.log_metrics(
        {
            f"text/{key}": measured[key]
            for key in ("unknown_rate", "pieces_per_word", "lost_marks", "truncated", "needed_length")
        }
    )
    run.set_tags({"script": fit.script})
    if warnings := fit.warnings():
        run.log_text("\n".join(warnings), "warnings.txt")


_TRAINING = ("seed", "precision", "device", "on_bad_rows")


@dataclass(frozen=True)
class Judged:
    """Who looks at a phase besides its own rows. dev: the pairs that choose its weights.  teacher: whose embeddings are learnt."""

    dev: RowSet[StsRow] | None = None
    teacher: SavedModel | None = None


@dataclass(frozen=True)
class _Work:
    """One phase: the record of its rows, messages about those left out, sentences from all over, and what trains."""

    phase: str
    data: DataRecord
    skipped: tuple[str, ...]
    texts: Callable[[], list[str]]
    train: Callable[[PhaseTrainer], None]


def train_nli(context: Context, recipe: Recipe, source: SavedModel, rows: RowSet[NliRow], judged: Judged) -> SavedModel:
    """First phase: natural language inference."""
    settings = recipe.nli
    work = _Work(
        "nli",
        data_record(rows),
        rows.skipped,
        lambda: sentences_of(rows),
        lambda healer: healer.train_nli(rows.rows, settings),
    )
    return _train_phase(context, recipe, source, work, judged)


def train_sts(context: Context, recipe: Recipe, source: SavedModel, rows: RowSet[StsRow], judged: Judged) -> SavedModel:
    """Second phase: semantic textual similarity."""
    settings = recipe.sts
    work = _Work(
        "sts",
        data_record(rows),
        rows.skipped,
        lambda: sentences_of(rows),
        lambda healer: healer.train_sts(rows.rows, settings),
    )
    return _train_phase(context, recipe, source, work, judged)


def distil(
    context: Context, recipe: Recipe, source: SavedModel, texts: tuple[list[str], DataRecord], judged: Judged
) -> SavedModel:
    """Distillation: a teacher's embeddings of sentences without labels."""
    settings = recipe.distil
    sentences, record = texts
    work = _Work(
        "distil", record, (), lambda: spread(sentences, SAMPLE), lambda healer: healer.distil(sentences, settings)
    )
    return _train_phase(context, recipe, source, work, judged)


def _train_phase(context: Context, recipe: Recipe, source: SavedModel, work: _Work, judged: Judged) -> SavedModel:
    name = work.phase if work.phase == "distil" else f"train_{work.phase}"
    teacher = _teacher(recipe, source, work.phase, judged)
    data = {"rows": work.data.digest, "dev": judged.dev.digest if judged.dev else ""}
    taught = f"{teacher.source.checkpoint.fingerprint()} {teacher.layers}" if teacher else ""
    key = phase_key(recipe, context.hardware, work.phase, source, data, taught)
    if (done := find_done(context, key)) is not None:
        return take_over(context, recipe, name, done)
    tags = lineage_tags(lineage_of(source)) | {"step_key": key}
    with context.step(name, tags, recipe, reads=(f"{work.phase}.", *_TRAINING)) as run:
        _log_rows(run, work)
        if teacher is not None:
            echo(f"teacher {teacher.source.uri}")
        model, lineage = _train(context, recipe, run, source, work, (judged.dev, teacher, key))
        check_embeddings(embed(model, PROBES), f"The model after {name}")
        return save(context, recipe, run, model, lineage, key)


def _teacher(recipe: Recipe, source: SavedModel, phase: str, judged: Judged) -> Teacher | None:
    """Whose embeddings the phase learns, and for distillation from which layers; None where the labels alone teach."""
    distils = phase == "distil"
    if judged.teacher is None or not (distils or getattr(getattr(recipe, phase), "distillation", 0) > 0):
        return None
    return Teacher(judged.teacher, teacher_layers(recipe, lineage_of(source), judged.teacher) if distils else None)


def _log_rows(run: Run, work: _Work) -> None:
    run.log_data(work.data, "training")
    log_skipped(run, work.data.name, work.skipped)
    counts = {"rows": work.data.rows, "skipped_rows": work.data.skipped, "leaks": work.data.leaks}
    run.log_metrics({f"{work.phase}/{name}": float(count) for name, count in counts.items()})


def _train(
    context: Context,
    recipe: Recipe,
    run: Run,
    source: SavedModel,
    work: _Work,
    looked: tuple[RowSet[StsRow] | None, Teacher | None, str],
) -> tuple[SentenceTransformer, Lineage]:
    """The healed model with its lineage. looked: the dev pairs, the teacher and the step's key."""
    phase, lineage = work.phase, lineage_of(source)
    dev, teacher, key = looked
    settings: PhaseSettings = getattr(recipe, phase)
    model = as_sentence_model(source, recipe)
    if context.parent is None:  # a longer command has looked at once, before its first step
        log_fit(run, measure_text_fit(model.tokenizer, work.texts(), int(model.max_seq_length)))
    if (pooling := getattr(settings, "pooling", None)) is not None:
        model = with_pooling(model, pooling, max_seq_length=model.max_seq_length)
        lineage = lineage.pooled(pooling)
    with phase_setup(context, recipe, run, phase, key) as setup:
        work.train(PhaseTrainer(model, setup, dev=dev.rows if dev else None, teacher=teacher))
    record = PhaseRecord(
        phase=phase,
        settings=settings.model_dump(mode="json"),
        data=work.data,
        seed=recipe.seed,
        precision=context.hardware.precision,
        teacher=TeacherRecord(id=teacher.source.uri, sha256=teacher.source.checkpoint.sha256()) if teacher else None,
        run_id=run.run_id,
    )
    return model, lineage.after(record)
