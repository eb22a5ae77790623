"""The phases: which rows, batches and objective each of them takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from sbert_prune.data.rows import Label, take
from sbert_prune.data.triplets import sample_by_premise, triplets
from sbert_prune.errors import RecipeError
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training.batches import Examples, plan_batches, tokenize_rows
from sbert_prune.training.embedding import DevPairs
from sbert_prune.training.loop import train
from sbert_prune.training.losses import MatryoshkaLoss, Objective, nli_loss, sts_loss
from sbert_prune.training.setup import PhaseSetup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import NliRow, StsRow
    from sbert_prune.recipe.settings import DistilSettings, NliSettings, PhaseSettings, StsSettings, TaskSettings
    from sbert_prune.training.losses import EmbeddingLoss
    from sbert_prune.training.setup import TrainerSetup
    from sbert_prune.training.supernet import Subsets
    from sbert_prune.training.teacher import Teacher

_CLASSES = {label: number for number, label in enumerate(Label)}


class PhaseTrainer:
    """Trains a sentence model in place, phase after phase.

    dev: the pairs whose score says which weights are kept; without them it is the last.  teacher: whose embeddings are learnt from.
    subsets: shares the weights among selections of the layers; early exits cannot be trained along then.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        setup: TrainerSetup,
        *,
        dev: Sequence[StsRow] | None = None,
        teacher: Teacher | None = None,
        subsets: Subsets | None = None,
    ) -> None:
        self._model, self._setup, self._dev, self._teacher, self._subsets = model, setup, dev, teacher, subsets

    def train_nli(self, rows: Sequence[NliRow], settings: NliSettings) -> None:
        """First phase: triplets with mnrl, or 3-way pairs with softmax."""
        rows = rows if settings.max_rows is None else sample_by_premise(rows, settings.max_rows, seed=self._setup.seed)
        loss = self._seeded_loss(settings)
        if settings.loss == "mnrl":
            columns = 3 if settings.hard_negatives else 2
            self._train_task(self._tokenized([row[:columns] for row in triplets(rows)]), settings, loss, unique=True)
        else:
            labels = torch.tensor([_CLASSES[row.label] for row in rows])
            self._train_task(self._tokenized([(row.premise, row.hypothesis) for row in rows], labels), settings, loss, unique=False)

    def _seeded_loss(self, settings: NliSettings) -> EmbeddingLoss:
        torch.manual_seed(self._setup.seed)
        return nli_loss(self._model, settings, self._setup.hardware.device)

    def train_sts(self, rows: Sequence[StsRow], settings: StsSettings) -> None:
        """Second phase: similarity against the score."""
        if settings.max_rows is not None and settings.max_rows < len(rows):
            chosen = np.random.default_rng(self._setup.seed).choice(len(rows), settings.max_rows, replace=False)
            rows = take(rows, sorted(chosen.tolist()))
        scores = torch.tensor([row.score for row in rows], dtype=torch.float32)
        pairs = [(row.sentence1, row.sentence2) for row in rows]
        self._train_task(self._tokenized(pairs, scores), settings, sts_loss(self._model, settings), unique=False)

    def distil(self, texts: Sequence[str], settings: DistilSettings) -> None:
        """A phase without labels: every sentence is to lie where the teacher puts it."""
        examples = self._taught(self._tokenized([(text,) for text in texts]))
        objective = Objective(
            None,
            self._num_layers,
            distillation=1.0,
            layer_weight=settings.layer_weight,
            projection=self._projection(examples),
            seed=self._setup.seed,
            subsets=self._subsets,
        )
        self._train(examples, objective, settings, unique=False)

    def _train_task(self, examples: Examples, settings: TaskSettings, loss: EmbeddingLoss, *, unique: bool) -> None:
        if settings.distillation > 0:
            examples = self._taught(examples)
        if settings.matryoshka_dims:
            self._check_dims(settings.matryoshka_dims)
            loss = MatryoshkaLoss(loss, settings.matryoshka_dims)
        objective = Objective(
            loss,
            self._num_layers,
            distillation=settings.distillation,
            projection=self._projection(examples),
            adaptive=settings.adaptive_layers,
            seed=self._setup.seed,
            subsets=self._subsets,
        )
        self._train(examples, objective, settings, unique=unique)

    def _check_dims(self, dims: tuple[int, ...]) -> None:
        """Raises RecipeError for more dimensions than there are."""
        dimension = int(self._model.get_embedding_dimension())
        if max(dims) >= dimension:
            raise RecipeError(f"matryoshka_dims={','.join(map(str, dims))}: the embeddings have {dimension} dimensions. Ask for fewer.")

    @property
    def _num_layers(self) -> int:
        return len(layers_of(encoder_of(self._model)))

    def _tokenized(self, rows: Sequence[Sequence[str]], labels: torch.Tensor | None = None) -> Examples:
        return tokenize_rows(self._model, rows, labels, tick=self._setup.tick)

    def _taught(self, examples: Examples) -> Examples:
        if self._teacher is None:
            raise ValueError("distillation needs a teacher")
        return replace(examples, targets=self._teacher.embed(examples.texts, self._setup.hardware, tick=self._setup.tick))

    def _projection(self, examples: Examples) -> nn.Linear | None:
        """A map into the teacher's dimensions, where they are not the student's."""
        if examples.targets is None or examples.targets.shape[2] == self._model.get_embedding_dimension():
            return None
        torch.manual_seed(self._setup.seed)
        return nn.Linear(int(self._model.get_embedding_dimension()), examples.targets.shape[2], bias=False)

    def _train(self, examples: Examples, objective: Objective, settings: PhaseSettings, *, unique: bool) -> None:
        batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=self._setup.seed, unique=unique)
        dev = None if self._dev is None else DevPairs.of(self._model, self._dev)
        torch.manual_seed(self._setup.seed)
        train(self._model, PhaseSetup(examples, batches, objective, dev), settings, self._setup)
