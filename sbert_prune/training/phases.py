"""The training phases: a table of their rows, examples and losses, and the trainer that runs one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sbert_prune.data.rows import Label, take
from sbert_prune.data.triplets import anchors, sample_by_premise
from sbert_prune.errors import RecipeError
from sbert_prune.losses import LOSSES, Loss, build_loss
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training.batches import Examples, plan_batches, tokenize_rows
from sbert_prune.training.embedding import DevPairs
from sbert_prune.training.loop import train
from sbert_prune.training.objective import MatryoshkaLoss, Objective
from sbert_prune.training.setup import TEACHING, TOKENISING, PhaseSetup

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from sbert_prune.data.rows import NliRow, RowSet, StsRow, TextRow
    from sbert_prune.inputs.texts import TrainingTexts
    from sbert_prune.recipe.settings import AnyPhaseSettings, NliSettings
    from sbert_prune.training.setup import TrainerSetup
    from sbert_prune.training.supernet import Subsets
    from sbert_prune.training.teacher import Teacher

Labelled = tuple[Sequence[Sequence[str]], torch.Tensor | None]
"""The texts of each example, and the labels: a class or a score each. *Shape of the labels:* (examples,)"""


def _sample_rows(rows: Sequence[Any], at_most: int, seed: int) -> Sequence[Any]:
    """Draw rows without replacement; keep their order."""
    if at_most >= len(rows):
        return rows
    chosen = np.random.default_rng(seed).choice(len(rows), at_most, replace=False)
    return take(rows, sorted(chosen.tolist()))


def _sample_premises(rows: Sequence[NliRow], at_most: int, seed: int) -> Sequence[NliRow]:
    return sample_by_premise(rows, at_most, seed=seed)


_CLASSES = {label: number for number, label in enumerate(Label)}


def _nli_examples(rows: Sequence[NliRow], settings: NliSettings) -> Labelled:
    """Return triplets of texts, or pairs with their class."""
    if LOSSES["nli"][settings.loss].triplets:
        columns = 3 if settings.hard_negatives else 2
        return [row[:columns] for row in anchors(rows, hard_negatives=settings.hard_negatives)], None
    return [row.sentences for row in rows], torch.tensor([_CLASSES[row.label] for row in rows])


def _sts_examples(rows: Sequence[StsRow], _settings: AnyPhaseSettings) -> Labelled:
    """Return pairs of texts with their score."""
    return [row.sentences for row in rows], torch.tensor([row.score for row in rows], dtype=torch.float32)


def _distil_examples(rows: Sequence[TextRow], _settings: AnyPhaseSettings) -> Labelled:
    """Return single texts."""
    return [row.sentences for row in rows], None


def _count_nli(rows: Sequence[NliRow], settings: NliSettings) -> int:
    if not LOSSES["nli"][settings.loss].triplets:
        return len(rows)
    return len(anchors(rows, hard_negatives=settings.hard_negatives))


def _count_rows(rows: Sequence[Any], _settings: AnyPhaseSettings) -> int:
    return len(rows)


@dataclass(frozen=True)
class Phase:
    """One phase. Its settings are the group of its name in a recipe.

    Attributes:
        step: Name of its step and its command.
        rows: Returns its rows among those of a recipe; None where they were not loaded.
        examples: Returns the examples of some rows.
        losses: The losses to choose from, by name; empty where only a teacher's embeddings are the target.
        count: Returns the number of examples, without making them.
        sample: Draws at most so many rows by a seed.
    """

    step: str
    rows: Callable[[TrainingTexts], RowSet[Any] | None]
    examples: Callable[[Sequence[Any], Any], Labelled]
    losses: Mapping[str, Loss]
    count: Callable[[Sequence[Any], Any], int] = _count_rows
    sample: Callable[[Sequence[Any], int, int], Sequence[Any]] = _sample_rows

    def limited(self, rows: Sequence[Any], settings: AnyPhaseSettings, *, seed: int) -> Sequence[Any]:
        """Return the rows that `max_rows` leaves. Sentences without labels were limited when they were read."""
        if settings.max_rows is None or not self.losses:
            return rows
        return self.sample(rows, settings.max_rows, seed)


PHASES: dict[str, Phase] = {
    "distil": Phase("distil", lambda texts: texts.sentences, _distil_examples, {}),
    "nli": Phase("train_nli", lambda texts: texts.nli, _nli_examples, LOSSES["nli"], _count_nli, _sample_premises),
    "sts": Phase("train_sts", lambda texts: texts.sts.train, _sts_examples, LOSSES["sts"]),
}
"""The phases, by their names in a recipe."""


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
            model: The sentence model. Weights in half precision become float32, in which gradients do not vanish.
            setup: Device, seed, callbacks and checkpoints.
            dev: The pairs whose score chooses the weights; without them the last weights are kept.
            teacher: The model whose embeddings are the target of distillation.
            subsets: Selections of layers that share the weights; early exits cannot be trained at the same time.
        """
        self._model, self._setup, self._dev, self._teacher, self._subsets = model, setup, dev, teacher, subsets
        model.float()

    def train(self, phase: str, rows: Sequence[Any], settings: AnyPhaseSettings) -> None:
        """Train one phase.

        Args:
            phase: A name in PHASES.
            rows: The rows of the phase.
            settings: Its settings.

        Raises:
            DataError: The loss cannot use the rows.
            RecipeError: More dimensions are asked for than the embeddings have.
            TrainingError: The loss is not finite, or memory runs out for a single row.
        """
        row, seed = PHASES[phase], self._setup.seed
        torch.manual_seed(seed)  # for the parameters of the loss itself
        loss = build_loss(phase, self._model, settings, self._setup.hardware.device) if row.losses else None
        texts, labels = row.examples(row.limited(rows, settings, seed=seed), settings)
        examples = self._with_targets(self._tokenize(texts, labels), settings)
        if loss is not None and settings.matryoshka_dims:
            self._check_dims(settings.matryoshka_dims)
            loss = MatryoshkaLoss(loss, settings.matryoshka_dims)
        objective = Objective(
            loss,
            len(layers_of(encoder_of(self._model))),
            distillation=settings.distillation,
            layer_weight=settings.layer_weight,
            projection=self._projection(examples),
            adaptive=settings.adaptive_layers,
            seed=seed,
            subsets=self._subsets,
        )
        # In a batch of triplets each sentence is a negative of the others, so none may be there twice.
        unique = loss is not None and row.losses[settings.loss].triplets
        batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=seed, unique=unique)
        dev = None if self._dev is None else DevPairs.of(self._model, self._dev)
        torch.manual_seed(seed)
        train(self._model, PhaseSetup(examples, batches, objective, dev), settings, self._setup)

    def _tokenize(self, texts: Sequence[Sequence[str]], labels: torch.Tensor | None) -> Examples:
        return tokenize_rows(self._model, texts, labels, tick=partial(self._setup.tick, TOKENISING))

    def _with_targets(self, examples: Examples, settings: AnyPhaseSettings) -> Examples:
        """Return the examples with the teacher's embeddings, where the phase learns them."""
        if settings.distillation == 0:
            return examples
        if self._teacher is None:
            raise ValueError("distillation needs a teacher")
        targets = self._teacher.embed(examples.texts, self._setup.hardware, tick=partial(self._setup.tick, TEACHING))
        return replace(examples, targets=targets)

    def _check_dims(self, dims: tuple[int, ...]) -> None:
        """Raise RecipeError for more dimensions than the embeddings have."""
        dimension = int(self._model.get_embedding_dimension())
        if max(dims) >= dimension:
            asked = ",".join(map(str, dims))
            raise RecipeError(f"matryoshka_dims={asked}: the embeddings have {dimension} dimensions. Ask for fewer.")

    def _projection(self, examples: Examples) -> nn.Linear | None:
        """Return a map to the teacher's dimensions, None if the student has the same."""
        if examples.targets is None or examples.targets.shape[2] == self._model.get_embedding_dimension():
            return None
        torch.manual_seed(self._setup.seed)
        return nn.Linear(int(self._model.get_embedding_dimension()), examples.targets.shape[2], bias=False)
