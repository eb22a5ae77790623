"""The work of one trial's process: prune, train, send scores, save."""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipelines.console import silence_libraries
from pipelines.inputs.load import teacher_layers
from pipelines.inputs.texts import open_corpus
from pipelines.steps.records import data_record
from sbert_prune.errors import SbertPruneError
from sbert_prune.evaluation.dev_pairs import DevPairs
from sbert_prune.evaluation.efficiency.size import measure_size
from sbert_prune.evaluation.sts import pair_cosines
from sbert_prune.layers import LayerSelection
from sbert_prune.metrics import STS_DEV
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import PhaseRecord, TeacherRecord, TrimRecord
from sbert_prune.models.saved_model import lineage_of
from sbert_prune.models.sentence import PROBES, check_embeddings, embed, load_saved, save_sentence_model, with_pooling
from sbert_prune.pruning import prune_checkpoint
from sbert_prune.recipe.recipe import DEFAULT_POOLING
from sbert_prune.strategies import EXPLICIT
from sbert_prune.system.memory import peak_memory_mb
from sbert_prune.training.device import choose_hardware
from sbert_prune.training.phases import PhaseTrainer
from sbert_prune.training.setup import TrainerSetup
from sbert_prune.training.teacher import Teacher
from sbert_prune.vocabulary.trim import trim_vocabulary
from tuning.messages import FIRST_RUNG, Failed, ParentLostError, StoppedError, TooLarge, Trained, TrialReporter

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from sbert_prune.models.lineage import DataRecord, Lineage
    from sbert_prune.training.device import Hardware
    from tuning.messages import Task


def run_trial(line: Connection, task: Task) -> None:
    """Train one variant and send the result.

    Sends a RungScore at each rung and reads whether to continue; at the end sends Trained, TooLarge or Failed.
    """
    _prepare_process()
    torch.set_num_threads(task.threads)
    try:
        line.send(_train(line, task))
    except (StoppedError, ParentLostError, BrokenPipeError, EOFError):
        pass
    except (MemoryError, torch.OutOfMemoryError) as error:
        reason = error or "no more was given"
        line.send(Failed(f"out of memory: {reason}. Give the phases a mini_batch_size, or fewer workers."))
    except (SbertPruneError, OSError, RuntimeError, ValueError) as error:
        line.send(Failed(f"{type(error).__name__}: {error}"))


def embed_saved_model(line: Connection, folder: Path) -> None:
    """Load a saved model with sentence-transformers alone and send what it embeds.

    Sends the embeddings of PROBES and the peak memory after and before loading, in MB; Failed where loading fails.
    """
    from sentence_transformers import SentenceTransformer

    _prepare_process()
    try:
        before_mb = peak_memory_mb()
        embeddings = embed(SentenceTransformer(str(folder), device="cpu"), PROBES)
        line.send((embeddings, peak_memory_mb(), before_mb))
    except (OSError, RuntimeError, ValueError) as error:
        line.send(Failed(f"{type(error).__name__}: {error}"))


def _prepare_process() -> None:
    """Ignore ctrl-C, which a terminal sends to all its processes: the command ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence_libraries()


def _train(line: Connection, task: Task) -> Trained | TooLarge:
    recipe = task.recipe
    hardware = choose_hardware(recipe.device, recipe.precision)
    model, lineage = _prune(task)
    if task.max_size_mb is not None:
        untrained = task.folder.with_name(f"{task.folder.name}-untrained")
        save_sentence_model(model, untrained, lineage)
        size_mb = inspect_checkpoint(untrained).num_bytes() / 1e6
        shutil.rmtree(untrained)
        if size_mb > task.max_size_mb:
            return TooLarge(size_mb)
    reporter = TrialReporter(line, recipe.phases, hardware.device)
    for phase in recipe.phases:
        if (pooling := getattr(getattr(recipe, phase), "pooling", None)) is not None:
            model = with_pooling(model, pooling, max_seq_length=model.max_seq_length)
            lineage = lineage.pooled(pooling)
        teacher = _teacher(task, phase, lineage)
        setup = TrainerSetup(
            hardware, recipe.seed, reporter.of(phase), reporter.tick, lambda _: None, None, (FIRST_RUNG,)
        )
        trainer = PhaseTrainer(model, setup, dev=task.rows.texts.sts.dev.rows, teacher=teacher)
        data = _train_phase(trainer, phase, task)
        lineage = lineage.after(_phase_record(task, phase, data=data, hardware=hardware, teacher=teacher))
    return _finish(model, lineage, task, reporter)


def _prune(task: Task) -> tuple[SentenceTransformer, Lineage]:
    """Remove the dropped layers and trim the vocabulary where the recipe says so, as the prune step does."""
    recipe, base = task.recipe, task.base
    origin, checkpoint = lineage_of(base), base.checkpoint
    selection = LayerSelection.parse(recipe.layers, depth=checkpoint.depth)
    if selection.dropped:
        pruned = task.folder.with_name(f"{task.folder.name}-cut")
        checkpoint = prune_checkpoint(base.folder, selection, pruned, lineage=origin)
    model = with_pooling(load_saved(checkpoint), recipe.pooling, max_seq_length=recipe.max_seq_length)
    lineage = origin.after_cut(selection, strategy=EXPLICIT, run_id=task.run_id)
    lineage = lineage.pooled(recipe.pooling or base.pooling or DEFAULT_POOLING)
    if recipe.vocabulary_limit.trims:
        corpus = open_corpus(recipe.vocabulary_corpus, task.rows.texts)
        model, report = trim_vocabulary(model, corpus, recipe.vocabulary_limit)
        lineage = lineage.after(
            TrimRecord(
                pieces=report.pieces_after,
                pieces_before=report.pieces_before,
                digest=report.digest,
                limit=str(recipe.vocabulary_limit),
                corpus=corpus.record(),
                run_id=task.run_id,
            )
        )
    return model, lineage


def _teacher(task: Task, phase: str, student: Lineage) -> Teacher | None:
    """Return the model whose embeddings the phase learns, as in `full`."""
    source, distils = task.rows.teacher, phase == "distil"
    if source is None or not (distils or getattr(getattr(task.recipe, phase), "distillation", 0) > 0):
        return None
    return Teacher(source, teacher_layers(task.recipe, student, source) if distils else None)


def _train_phase(trainer: PhaseTrainer, phase: str, task: Task) -> DataRecord:
    """Train one phase and return the record of its rows."""
    recipe, rows = task.recipe, task.rows
    if phase == "distil":
        assert rows.sentences is not None  # loaded with the other inputs
        trainer.distil(rows.sentences[0], recipe.distil)
        return rows.sentences[1]
    if phase == "sts":
        trainer.train_sts(rows.texts.sts.train.rows, recipe.sts)
        return data_record(rows.texts.sts.train)
    assert rows.texts.nli is not None
    trainer.train_nli(rows.texts.nli.rows, recipe.nli)
    return data_record(rows.texts.nli)


def _phase_record(
    task: Task, phase: str, *, data: DataRecord, hardware: Hardware, teacher: Teacher | None
) -> PhaseRecord:
    return PhaseRecord(
        phase=phase,
        settings=getattr(task.recipe, phase).model_dump(mode="json"),
        data=data,
        seed=task.recipe.seed,
        precision=hardware.precision,
        teacher=TeacherRecord(id=teacher.source.uri, sha256=teacher.source.checkpoint.sha256()) if teacher else None,
        run_id=task.run_id,
    )


def _finish(model: SentenceTransformer, lineage: Lineage, task: Task, reporter: TrialReporter) -> Trained:
    """Save the model and measure dev score, sizes and seconds of training."""
    seconds = reporter.seconds
    probes = embed(model, PROBES)
    check_embeddings(probes, "The trained variant")
    save_sentence_model(model, task.folder, lineage)
    pairs = _dev_pairs(model, task)
    sizes = measure_size(model, inspect_checkpoint(task.folder)).metrics()
    metrics = {STS_DEV: pairs.value, "training/seconds": seconds, **sizes}
    return Trained(metrics, reporter.series, pairs.to_json(), probes)


def _dev_pairs(model: SentenceTransformer, task: Task) -> DevPairs:
    """Return the model's prediction for each dev pair, in the form that `evaluate` keeps."""
    dev = task.rows.texts.sts.dev
    gold = np.array([row.score for row in dev.rows], dtype=np.float64)
    return DevPairs(dev.digest[:16], gold, pair_cosines(model, dev.rows, f"dev ({dev.name})"))
