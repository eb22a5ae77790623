"""The training phases: NLI, STS and distillation, each with its rows, batches and objective."""

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
    """Trains a sentence model in place, one phase per call."""

    def __init__(
        self,
        model: SentenceTransformer,
        setup: TrainerSetup,
        *,
        dev: Sequence[StsRow] | None = None,
        teacher: Teacher | None = None,
        subsets: Subsets | None = None,
    ) -> None:
        """Create a trainer.

        Args:
            model: The sentence model.
            setup: Device, seed, callbacks and checkpoints.
            dev: The pairs whose score chooses the weights; without them the last weights are kept.
            teacher: The model whose embeddings are the target of distillation.
            subsets: Selections of layers that share the weights; early exits cannot be trained at the same time.
        """
        self._model, self._setup, self._dev, self._teacher, self._subsets = model, setup, dev, teacher, subsets

    def train_nli(self, rows: Sequence[NliRow], settings: NliSettings) -> None:
        """Train the first phase: triplets with mnrl, or 3-way pairs with softmax."""
        rows = rows if settings.max_rows is None else sample_by_premise(rows, settings.max_rows, seed=self._setup.seed)
        loss = self._seeded_loss(settings)
        if settings.loss == "mnrl":
            columns = 3 if settings.hard_negatives else 2
            examples = self._tokenize([row[:columns] for row in triplets(rows)])
            self._train_task(examples, settings, loss, unique=True)
        else:
            labels = torch.tensor([_CLASSES[row.label] for row in rows])
            examples = self._tokenize([(row.premise, row.hypothesis) for row in rows], labels)
            self._train_task(examples, settings, loss, unique=False)

    def _seeded_loss(self, settings: NliSettings) -> EmbeddingLoss:
        torch.manual_seed(self._setup.seed)
        return nli_loss(self._model, settings, self._setup.hardware.device)

    def train_sts(self, rows: Sequence[StsRow], settings: StsSettings) -> None:
        """Train the second phase: similarity against the score."""
        if settings.max_rows is not None and settings.max_rows < len(rows):
            chosen = np.random.default_rng(self._setup.seed).choice(len(rows), settings.max_rows, replace=False)
            rows = take(rows, sorted(chosen.tolist()))
        scores = torch.tensor([row.score for row in rows], dtype=torch.float32)
        pairs = [(row.sentence1, row.sentence2) for row in rows]
        examples = self._tokenize(pairs, scores)
        self._train_task(examples, settings, sts_loss(self._model, settings), unique=False)

    def distil(self, texts: Sequence[str], settings: DistilSettings) -> None:
        """Train without labels: the target of each sentence is the teacher's embedding."""
        examples = self._with_targets(self._tokenize([(text,) for text in texts]))
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
            examples = self._with_targets(examples)
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
        """Raise RecipeError for more dimensions than the embeddings have."""
        dimension = int(self._model.get_embedding_dimension())
        if max(dims) >= dimension:
            asked = ",".join(map(str, dims))
            raise RecipeError(f"matryoshka_dims={asked}: the embeddings have {dimension} dimensions. Ask for fewer.")

    @property
    def _num_layers(self) -> int:
        return len(layers_of(encoder_of(self._model)))

    def _tokenize(self, rows: Sequence[Sequence[str]], labels: torch.Tensor | None = None) -> Examples:
        return tokenize_rows(self._model, rows, labels, tick=self._setup.tick)

    def _with_targets(self, examples: Examples) -> Examples:
        if self._teacher is None:
            raise ValueError("distillation needs a teacher")
        targets = self._teacher.embed(examples.texts, self._setup.hardware, tick=self._setup.tick)
        return replace(examples, targets=targets)

    def _projection(self, examples: Examples) -> nn.Linear | None:
        """Return a map to the teacher's dimensions, None if the student has the same."""
        if examples.targets is None or examples.targets.shape[2] == self._model.get_embedding_dimension():
            return None
        torch.manual_seed(self._setup.seed)
        return nn.Linear(int(self._model.get_embedding_dimension()), examples.targets.shape[2], bias=False)

    def _train(self, examples: Examples, objective: Objective, settings: PhaseSettings, *, unique: bool) -> None:
        seed = self._setup.seed
        batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=seed, unique=unique)
        dev = None if self._dev is None else DevPairs.of(self._model, self._dev)
        torch.manual_seed(seed)
        train(self._model, PhaseSetup(examples, batches, objective, dev), settings, self._setup)
