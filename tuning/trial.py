"""The work of one trial's process: prune, train, send scores, save."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipelines.console import TERMINAL_SIGNALS, silence_libraries
from sbert_prune.errors import SbertPruneError
from sbert_prune.evaluation.dev_pairs import DevPairs
from sbert_prune.evaluation.efficiency.size import measure_size
from sbert_prune.evaluation.sts import pair_cosines
from sbert_prune.layers import LayerSelection
from sbert_prune.metrics import STS_DEV
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.sentence import PROBES, check_embeddings, embed, save_sentence_model
from sbert_prune.strategies import EXPLICIT
from sbert_prune.system.memory import peak_memory_mb
from sbert_prune.training.device import choose_hardware
from sbert_prune.training.phases import PHASES
from sbert_prune.training.setup import TrainerSetup
from sbert_prune.variant import Variant, cut_layers, teacher_of, train_phase, trim_pieces
from tuning.messages import FIRST_RUNG, Failed, ParentLostError, StoppedError, TooLarge, Trained, TrialReporter

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from sentence_transformers import SentenceTransformer

    from sbert_prune.recipe.recipe import SavePrecision
    from tuning.messages import Task


def run_trial(line: Connection, task: Task) -> None:
    """Train one variant and send the result.

    Sends a RungScore at each rung and reads whether to continue; at the end sends Trained, TooLarge or Failed.
    """
    _prepare_process(task.folder.parent)
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

    _prepare_process(folder.parent)
    try:
        before_mb = peak_memory_mb()
        embeddings = embed(SentenceTransformer(str(folder), device="cpu"), PROBES)
        line.send((embeddings, peak_memory_mb(), before_mb))
    except (OSError, RuntimeError, ValueError) as error:
        line.send(Failed(f"{type(error).__name__}: {error}"))


def _prepare_process(scratch: Path) -> None:
    """Prepare the process of a trial.

    It ignores what a terminal sends to all its processes, as the command ends this one; and its temporary files go into
    the folder of the command, where the next command removes those of a killed one.
    """
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    tempfile.tempdir = str(scratch)
    silence_libraries()


def _train(line: Connection, task: Task) -> Trained | TooLarge:
    recipe = task.recipe
    hardware = choose_hardware(recipe.device, recipe.precision)
    variant = _prune(task)
    if task.max_size_mb is not None:
        size_mb = _size_mb(variant, recipe.save_precision, task.folder.parent)
        if size_mb > task.max_size_mb:
            return TooLarge(size_mb)
    reporter = TrialReporter(line, recipe.phases, hardware.device)
    for phase in recipe.phases:
        rows = PHASES[phase].rows(task.rows.texts)
        assert rows is not None  # loaded with the other inputs
        setup = TrainerSetup(
            hardware, recipe.seed, reporter.of(phase), reporter.tick, notice=lambda _: None, score_after=(FIRST_RUNG,)
        )
        teacher = teacher_of(recipe, phase, variant.lineage, task.rows.teacher)
        dev = task.rows.texts.sts.dev
        variant = train_phase(recipe, variant, phase, rows, setup, dev=dev, teacher=teacher, run_id=task.run_id)
    return _finish(variant, task, reporter)


def _prune(task: Task) -> Variant:
    """Remove the dropped layers, and trim the vocabulary where the recipe says so."""
    recipe, base = task.recipe, task.base
    selection = LayerSelection.parse(recipe.layers, depth=base.checkpoint.depth)
    scratch = task.folder.parent
    variant = cut_layers(recipe, base, selection, strategy=EXPLICIT, scratch=scratch, run_id=task.run_id)
    if recipe.vocabulary_limit.trims:
        variant, _ = trim_pieces(recipe, variant, task.rows.texts, run_id=task.run_id)
    return variant


def _size_mb(variant: Variant, save_precision: SavePrecision, scratch: Path) -> float:
    """Return the size of a saved variant in MB (10^6 bytes)."""
    lineage = variant.lineage.saved_as(save_precision)
    with TemporaryDirectory(dir=scratch, prefix="untrained-") as folder:
        save_sentence_model(variant.model, Path(folder), lineage)
        return inspect_checkpoint(Path(folder)).num_bytes() / 1e6


def _finish(variant: Variant, task: Task, reporter: TrialReporter) -> Trained:
    """Save the model and measure dev score, sizes and seconds of training."""
    model, seconds = variant.model, reporter.seconds
    probes = embed(model, PROBES)
    check_embeddings(probes, "The trained variant")
    save_sentence_model(model, task.folder, variant.lineage)
    pairs = _dev_pairs(model, task)
    sizes = measure_size(model, inspect_checkpoint(task.folder)).metrics()
    metrics = {STS_DEV: pairs.value, "training/seconds": seconds, **sizes}
    return Trained(metrics, reporter.series, pairs.to_json(), probes)


def _dev_pairs(model: SentenceTransformer, task: Task) -> DevPairs:
    """Return the model's prediction for each dev pair, in the form that `evaluate` keeps."""
    dev = task.rows.texts.sts.dev
    gold = np.array([row.score for row in dev.rows], dtype=np.float64)
    return DevPairs(dev.digest[:16], gold, pair_cosines(model, dev.rows, f"dev ({dev.name})"))
