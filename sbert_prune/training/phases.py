"""The two phases: which rows, batches and loss each of them takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sbert_prune.data.rows import Label
from sbert_prune.data.triplets import sample_by_premise, triplets
from sbert_prune.training.batching import plan_batches
from sbert_prune.training.examples import tokenize_rows
from sbert_prune.training.loop import train
from sbert_prune.training.losses import PairClassifierLoss, cosine_loss, ranking_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import NliRow, StsRow
    from sbert_prune.recipe import NliSettings, StsSettings
    from sbert_prune.training.hardware import Hardware
    from sbert_prune.training.loop import Report

_CLASSES = {label: number for number, label in enumerate(Label)}


def train_nli(
    model: SentenceTransformer, rows: Sequence[NliRow], settings: NliSettings, *, hardware: Hardware, seed: int, report: Report
) -> None:
    """First phase, in place: triplets with mnrl, or 3-way pairs with softmax."""
    rows = rows if settings.max_rows is None else sample_by_premise(rows, settings.max_rows, seed=seed)
    torch.manual_seed(seed)
    if settings.loss == "mnrl":
        found = triplets(rows)
        examples = tokenize_rows(model, [(row.anchor, row.entailment, row.contradiction) for row in found])
        loss = ranking_loss(model, settings.scale)
    else:
        labels = torch.tensor([_CLASSES[row.label] for row in rows])
        examples = tokenize_rows(model, [(row.premise, row.hypothesis) for row in rows], labels)
        loss = PairClassifierLoss(int(model.get_embedding_dimension()), hardware.device)
    batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=seed, unique=settings.loss == "mnrl")
    train(model, examples, batches, loss, settings=settings, hardware=hardware, report=report)


def train_sts(
    model: SentenceTransformer, rows: Sequence[StsRow], settings: StsSettings, *, hardware: Hardware, seed: int, report: Report
) -> None:
    """Second phase, in place: cosine similarity against the score."""
    if settings.max_rows is not None and settings.max_rows < len(rows):
        chosen = np.random.default_rng(seed).choice(len(rows), settings.max_rows, replace=False)
        rows = [rows[number] for number in sorted(chosen)]
    torch.manual_seed(seed)
    scores = torch.tensor([row.score for row in rows], dtype=torch.float32)
    examples = tokenize_rows(model, [(row.sentence1, row.sentence2) for row in rows], scores)
    batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=seed, unique=False)
    train(model, examples, batches, cosine_loss(model), settings=settings, hardware=hardware, report=report)
