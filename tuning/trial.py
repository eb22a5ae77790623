"""What the process of one trial does: cut, heal, tell how it is doing, save."""

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
from tuning.messages import EARLY, Failed, LostError, StoppedError, TooLarge, Trained, TrialReporter

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from sbert_prune.models.lineage import DataRecord, Lineage
    from sbert_prune.training.device import Hardware
    from tuning.messages import Task


def run_trial(line: Connection, task: Task) -> None:
    """Train one variant, and send what comes of it: looks, each answered by whether to go on, and Trained, TooLarge or Failed."""
    _begin()
    torch.set_num_threads(task.threads)
    try:
        line.send(_train(line, task))
    except (StoppedError, LostError, BrokenPipeError, EOFError):
        pass
    except (MemoryError, torch.OutOfMemoryError) as error:
        line.send(Failed(f"out of memory: {error or 'no more was given'}. Give the phases a mini_batch_size, or fewer workers."))
    except (SbertPruneError, OSError, RuntimeError, ValueError) as error:
        line.send(Failed(f"{type(error).__name__}: {error}"))


def prove(line: Connection, folder: Path) -> None:
    """Load a saved model as a stranger would, and send its embeddings of PROBES and the memory that took, in MB, or why it cannot be."""
    from sentence_transformers import SentenceTransformer

    _begin()
    try:
        before = peak_memory_mb()
        found = embed(SentenceTransformer(str(folder), device="cpu"), PROBES)
        line.send((found, peak_memory_mb(), before))
    except (OSError, RuntimeError, ValueError) as error:
        line.send(Failed(f"{type(error).__name__}: {error}"))


def _begin() -> None:
    """Ctrl-C goes to every process of a terminal: the one that talks to the user ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence_libraries()


def _train(line: Connection, task: Task) -> Trained | TooLarge:
    recipe = task.recipe
    hardware = choose_hardware(recipe.device, recipe.precision)
    model, lineage = _cut(task)
    if task.max_size_mb is not None:
        untrained = task.folder.with_name(f"{task.folder.name}-untrained")
        save_sentence_model(model, untrained, lineage)
        size_mb = inspect_checkpoint(untrained).num_bytes() / 1e6
        shutil.rmtree(untrained)
        if size_mb > task.max_size_mb:
            return TooLarge(size_mb)
    teller = TrialReporter(line, recipe.phases, hardware.device)
    for phase in recipe.phases:
        if (pooling := getattr(getattr(recipe, phase), "pooling", None)) is not None:
            model, lineage = with_pooling(model, pooling, max_seq_length=model.max_seq_length), lineage.pooled(pooling)
        teacher = _teacher(task, phase, lineage)
        setup = TrainerSetup(hardware, recipe.seed, teller.of(phase), teller.tick, lambda _: None, None, (EARLY,))
        data = _train_phase(PhaseTrainer(model, setup, dev=task.rows.texts.sts.dev.rows, teacher=teacher), phase, task)
        lineage = lineage.after(_phase_record(task, phase, data, (hardware, teacher)))
    return _finish(model, lineage, task, teller)


def _cut(task: Task) -> tuple[SentenceTransformer, Lineage]:
    """The base without the dropped layers, its vocabulary trimmed where the recipe asks for it; as the prune step makes it."""
    recipe, base = task.recipe, task.base
    origin, checkpoint = lineage_of(base), base.checkpoint
    selection = LayerSelection.parse(recipe.layers, depth=checkpoint.depth)
    if selection.dropped:
        checkpoint = prune_checkpoint(base.folder, selection, task.folder.with_name(f"{task.folder.name}-cut"), lineage=origin)
    model = with_pooling(load_saved(checkpoint), recipe.pooling, max_seq_length=recipe.max_seq_length)
    lineage = origin.after_cut(selection, strategy=EXPLICIT, run_id=task.run_id).pooled(recipe.pooling or base.pooling or DEFAULT_POOLING)
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
    """Whose embeddings the phase learns, as in `full`."""
    source, distils = task.rows.teacher, phase == "distil"
    if source is None or not (distils or getattr(getattr(task.recipe, phase), "distillation", 0) > 0):
        return None
    return Teacher(source, teacher_layers(task.recipe, student, source) if distils else None)


def _train_phase(healer: PhaseTrainer, phase: str, task: Task) -> DataRecord:
    """One phase; returns the record of its rows."""
    recipe, rows = task.recipe, task.rows
    if phase == "distil":
        assert rows.sentences is not None  # found with the other inputs
        healer.distil(rows.sentences[0], recipe.distil)
        return rows.sentences[1]
    if phase == "sts":
        healer.train_sts(rows.texts.sts.train.rows, recipe.sts)
        return data_record(rows.texts.sts.train)
    assert rows.texts.nli is not None
    healer.train_nli(rows.texts.nli.rows, recipe.nli)
    return data_record(rows.texts.nli)


def _phase_record(task: Task, phase: str, data: DataRecord, how: tuple[Hardware, Teacher | None]) -> PhaseRecord:
    hardware, teacher = how
    return PhaseRecord(
        phase=phase,
        settings=getattr(task.recipe, phase).model_dump(mode="json"),
        data=data,
        seed=task.recipe.seed,
        precision=hardware.precision,
        teacher=TeacherRecord(id=teacher.source.uri, sha256=teacher.source.checkpoint.sha256()) if teacher else None,
        run_id=task.run_id,
    )


def _finish(model: SentenceTransformer, lineage: Lineage, task: Task, teller: TrialReporter) -> Trained:
    """Save the model, and say what it is worth: dev score, sizes, seconds of training."""
    seconds = teller.seconds
    probes = embed(model, PROBES)
    check_embeddings(probes, "The trained variant")
    save_sentence_model(model, task.folder, lineage)
    pairs = _dev_pairs(model, task)
    metrics = {STS_DEV: pairs.value, "training/seconds": seconds, **measure_size(model, inspect_checkpoint(task.folder)).metrics()}
    return Trained(metrics, teller.series, pairs.to_json(), probes)


def _dev_pairs(model: SentenceTransformer, task: Task) -> DevPairs:
    """What the model says of each dev pair, as `evaluate` would keep it."""
    dev = task.rows.texts.sts.dev
    gold = np.array([row.score for row in dev.rows], dtype=np.float64)
    return DevPairs(dev.digest[:16], gold, pair_cosines(model, dev.rows, f"dev ({dev.name})"))
