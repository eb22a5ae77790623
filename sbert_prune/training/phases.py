"""The two phases: which rows, batches and loss each of them takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sbert_prune.data.triplets import sample_by_premise, triplets
from sbert_prune.rows import Label
from sbert_prune.training.batching import plan_batches
from sbert_prune.training.examples import tokenize_rows
from sbert_prune.training.loop import Lesson, train
from sbert_prune.training.losses import PairClassifierLoss, cosine_loss, ranking_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.recipe import NliSettings, StsSettings
    from sbert_prune.rows import NliRow, StsRow
    from sbert_prune.training.loop import Setup

_CLASSES = {label: number for number, label in enumerate(Label)}


def train_nli(model: SentenceTransformer, rows: Sequence[NliRow], settings: NliSettings, setup: Setup) -> None:
    """First phase, in place: triplets with mnrl, or 3-way pairs with softmax."""
    rows = rows if settings.max_rows is None else sample_by_premise(rows, settings.max_rows, seed=setup.seed)
    torch.manual_seed(setup.seed)
    lesson = _NLI_LESSONS[settings.loss](model, rows, settings, setup)
    train(model, lesson, settings, setup)


def _ranking_lesson(model: SentenceTransformer, rows: Sequence[NliRow], settings: NliSettings, setup: Setup) -> Lesson:
    found = triplets(rows)
    examples = tokenize_rows(model, [(row.anchor, row.entailment, row.contradiction) for row in found])
    batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=setup.seed, unique=True)
    return Lesson(examples, batches, ranking_loss(model, settings.scale))


def _classifying_lesson(model: SentenceTransformer, rows: Sequence[NliRow], settings: NliSettings, setup: Setup) -> Lesson:
    labels = torch.tensor([_CLASSES[row.label] for row in rows])
    examples = tokenize_rows(model, [(row.premise, row.hypothesis) for row in rows], labels)
    batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=setup.seed, unique=False)
    return Lesson(examples, batches, PairClassifierLoss(int(model.get_embedding_dimension()), setup.hardware.device))


_NLI_LESSONS = {"mnrl": _ranking_lesson, "softmax": _classifying_lesson}


def train_sts(model: SentenceTransformer, rows: Sequence[StsRow], settings: StsSettings, setup: Setup) -> None:
    """Second phase, in place: cosine similarity against the score."""
    if settings.max_rows is not None and settings.max_rows < len(rows):
        chosen = np.random.default_rng(setup.seed).choice(len(rows), settings.max_rows, replace=False)
        rows = [rows[number] for number in sorted(chosen)]
    torch.manual_seed(setup.seed)
    scores = torch.tensor([row.score for row in rows], dtype=torch.float32)
    examples = tokenize_rows(model, [(row.sentence1, row.sentence2) for row in rows], scores)
    batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=setup.seed, unique=False)
    train(model, Lesson(examples, batches, cosine_loss(model)), settings, setup)
