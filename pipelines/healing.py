"""The steps that heal a cut: nli, sts and distil, each a run that goes on from its last checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.console import say
from pipelines.fitting import log_fit, look_at_fit
from pipelines.phase_log import phase_setup
from pipelines.records import data_record, lineage_tags, log_skipped
from pipelines.saving import as_sentence_model, save
from pipelines.teaching import teacher_layers
from pipelines.texts import SAMPLE, sentences_of, spread
from sbert_prune.lineage import PhaseRecord, TeacherRecord, code_version
from sbert_prune.saved_model import lineage_of
from sbert_prune.sentence import PROBES, check_embeddings, embed, with_pooling
from sbert_prune.training.examples import digest_of
from sbert_prune.training.phases import Healer
from sbert_prune.training.teacher import Teacher

if TYPE_CHECKING:
    from pipelines.context import Context
    from sbert_prune.lineage import DataRecord
    from sbert_prune.phase_settings import PhaseSettings
    from sbert_prune.rows import NliRow, RowSet, StsRow
    from sbert_prune.saved_model import SavedModel

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
    train: Callable[[Healer], None]


def train_nli(context: Context, source: SavedModel, rows: RowSet[NliRow], judged: Judged) -> SavedModel:
    """First phase: natural language inference."""
    settings = context.recipe.nli
    work = _Work("nli", data_record(rows), rows.skipped, lambda: sentences_of(rows), lambda healer: healer.train_nli(rows.rows, settings))
    return _heal(context, source, work, judged)


def train_sts(context: Context, source: SavedModel, rows: RowSet[StsRow], judged: Judged) -> SavedModel:
    """Second phase: semantic textual similarity."""
    settings = context.recipe.sts
    work = _Work("sts", data_record(rows), rows.skipped, lambda: sentences_of(rows), lambda healer: healer.train_sts(rows.rows, settings))
    return _heal(context, source, work, judged)


def distil(context: Context, source: SavedModel, texts: tuple[list[str], DataRecord], judged: Judged) -> SavedModel:
    """Distillation: a teacher's embeddings of sentences without labels."""
    settings = context.recipe.distil
    sentences, record = texts
    work = _Work("distil", record, (), lambda: spread(sentences, SAMPLE), lambda healer: healer.distil(sentences, settings))
    return _heal(context, source, work, judged)


def _heal(context: Context, source: SavedModel, work: _Work, judged: Judged) -> SavedModel:
    recipe, phase, lineage = context.recipe, work.phase, lineage_of(source)
    settings: PhaseSettings = getattr(recipe, phase)
    name = phase if phase == "distil" else f"train_{phase}"
    with context.step(name, lineage_tags(lineage), reads=(f"{phase}.", *_TRAINING)) as run:
        run.log_data(work.data, "training")
        log_skipped(run, work.data.name, work.skipped)
        run.log_metrics({f"{phase}/rows": work.data.rows, f"{phase}/skipped_rows": work.data.skipped, f"{phase}/leaks": work.data.leaks})
        teacher = None
        if judged.teacher is not None and (phase == "distil" or getattr(settings, "distillation", 0) > 0):
            teacher = Teacher(judged.teacher, teacher_layers(recipe, lineage, judged.teacher) if phase == "distil" else None)
            say(f"teacher {judged.teacher.uri}")
        model = as_sentence_model(source, recipe)
        if context.parent is None:  # a longer command has looked at once, before its first step
            log_fit(run, look_at_fit(model.tokenizer, work.texts(), int(model.max_seq_length)))
        if (pooling := getattr(settings, "pooling", None)) is not None:
            model = with_pooling(model, pooling, max_seq_length=model.max_seq_length)
            lineage = lineage.pooled(pooling)
        key = _key(context, source, work, judged, teacher)
        with phase_setup(context, run, phase, key) as setup:
            dev = judged.dev.rows if judged.dev else None
            work.train(Healer(model, setup, dev=dev, teacher=teacher))
        check_embeddings(embed(model, PROBES), f"The model after {name}")
        record = PhaseRecord(
            phase=phase,
            settings=settings.model_dump(mode="json"),
            data=work.data,
            seed=recipe.seed,
            precision=context.hardware.precision,
            teacher=TeacherRecord(id=teacher.source.uri, sha256=teacher.source.checkpoint.sha256()) if teacher else None,
            run_id=run.run_id,
        )
        return save(context, run, model, lineage.after(record))


def _key(context: Context, source: SavedModel, work: _Work, judged: Judged, teacher: Teacher | None) -> str:
    """Names a phase by all that decides its result: only the same one is taken up again."""
    recipe = context.recipe
    settings = getattr(recipe, work.phase).model_dump_json(exclude={"data", "teacher"})
    taught = f"{teacher.source.checkpoint.fingerprint()} {teacher.layers}" if teacher else ""
    decides = (
        *(work.phase, source.checkpoint.fingerprint(), settings, work.data.digest, judged.dev.digest if judged.dev else "", taught),
        *(str(recipe.seed), str(recipe.max_seq_length), context.hardware.device.type, context.hardware.precision, code_version()),
    )
    return digest_of(*decides)[:32]
