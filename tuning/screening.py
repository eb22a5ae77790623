"""Screening: scores for selections of layers without training them, hundreds a minute."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pipelines.steps.keys import phase_key
from pipelines.steps.train import phase_setup
from sbert_prune.data.rows import take
from sbert_prune.evaluation.correlation import spearman
from sbert_prune.layer_analysis.similarity import linear_cka
from sbert_prune.layer_analysis.subsets import embed_subsets
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import as_sentence_model, encoder_of
from sbert_prune.recipe.settings import LABELLED
from sbert_prune.training.phases import PHASES, PhaseTrainer
from sbert_prune.training.supernet import Subsets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.data.rows import StsRow
    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.recipe.settings import PhaseSettings
    from sbert_prune.training.device import Hardware
    from tuning.space import Space

_MAX_SELECTIONS = 1_000
"""How many selections are screened at most; a larger space is sampled at random."""

_NUM_PAIRS = 120
"""How many dev pairs a selection is scored on. All are scored on the same ones, so their differences are paired."""


@dataclass(frozen=True)
class Pairs:
    """The dev pairs of a screening.

    Attributes:
        texts: The distinct texts.
        left: Index of each pair's first text. *Shape:* (pairs,)
        right: Index of each pair's second text. *Shape:* (pairs,)
        gold: The labelled similarity, 0 to 1. *Shape:* (pairs,)
    """

    texts: list[str]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    gold: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[StsRow]) -> Pairs:
        """Choose pairs evenly from the whole split."""
        chosen = take(rows, range(0, len(rows), max(1, len(rows) // _NUM_PAIRS)))[:_NUM_PAIRS]
        positions: dict[str, int] = {}
        index = [[positions.setdefault(text, len(positions)) for text in row.sentences] for row in chosen]
        left, right = np.array(index).T
        return cls(list(positions), left, right, np.array([row.score for row in chosen]))

    def score(self, vectors: NDArray[np.float32]) -> float:
        """Return the Spearman correlation of the cosines; -1 for embeddings without any order.

        Args:
            vectors: Embeddings of the texts. *Shape:* (texts, dim)
        """
        unit = vectors.astype(np.float64)
        unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        cosines = (unit[self.left] * unit[self.right]).sum(axis=1)
        score = float(spearman(cosines[None], self.gold[None])[0])
        return score if np.isfinite(score) else -1.0


@dataclass(frozen=True)
class Screened:
    """The scores of selections by each measure.

    Attributes:
        selections: The screened selections.
        measures: Scores in the order of the selections, by measure: "untrained" (dev score), "agreement" (linear CKA
            with the reference's embeddings), "shared" (dev score with shared weights).
        seconds: Seconds that scoring took.
        training_seconds: Seconds that the training of the shared weights took.
    """

    selections: tuple[LayerSelection, ...]
    measures: dict[str, tuple[float, ...]]
    seconds: float
    training_seconds: float = 0.0

    def of(self, measure: str) -> dict[str, float]:
        """Return the scores of one measure, by selection."""
        scores = zip(self.selections, self.measures[measure], strict=True)
        return {str(selection): value for selection, value in scores}

    @property
    def strongest(self) -> str:
        """Return the measure that ranks: shared weights where there are any."""
        return next((name for name in ("shared", "agreement") if name in self.measures), "untrained")

    def ranked(self) -> list[LayerSelection]:
        """Return the selections, best first by the strongest measure.

        The best of each count of layers come first, then the second best of each.
        """
        rounds = zip_longest(*self._by_count().values())
        return [selection for same_rank in rounds for selection in same_rank if selection is not None]

    def lower_half(self) -> frozenset[str]:
        """Return the selections that the strongest measure ranks below the middle of those with as many layers."""
        groups = self._by_count().values()
        return frozenset(str(selection) for ranked in groups for selection in ranked[(len(ranked) + 1) // 2 :])

    def _by_count(self) -> dict[int, list[LayerSelection]]:
        """Return the selections by the count of layers, best first."""
        values = self.of(self.strongest)
        groups: dict[int, list[LayerSelection]] = {}
        for selection in sorted(self.selections, key=lambda selection: (-values[str(selection)], selection.kept)):
            groups.setdefault(selection.num_layers, []).append(selection)
        return groups

    @property
    def per_minute(self) -> float:
        """Return how many selections were scored in a minute."""
        return 60 * len(self.selections) / max(self.seconds, 1e-9)


def selections_to_screen(space: Space, named: Iterable[LayerSelection], seed: int) -> tuple[LayerSelection, ...]:
    """Return all selections of a space, or the named ones and random ones up to the limit."""
    if space.num_selections <= _MAX_SELECTIONS:
        return tuple(space.selections())
    generator = random.Random(seed)
    selections = {selection: None for selection in named if space.contains(selection)}
    while len(selections) < _MAX_SELECTIONS:
        selections[space.draw(generator)] = None
    return tuple(selections)


def screen(
    base: SavedModel,
    reference: SavedModel,
    recipe: Recipe,
    *,
    selections: Sequence[LayerSelection],
    dev: Sequence[StsRow],
    hardware: Hardware,
) -> Screened:
    """Score selections of the base's layers without training."""
    pairs, started = Pairs.of(dev), time.perf_counter()
    model = as_sentence_model(base, recipe)
    target = embed_once(as_sentence_model(reference, recipe), pairs.texts, hardware)
    scores = {
        selection: (pairs.score(vectors), linear_cka(vectors, target))
        for selection, vectors in embed_subsets(model, selections, pairs.texts, hardware)
    }
    untrained, agreement = zip(*(scores[selection] for selection in selections), strict=True)
    measures = {"untrained": untrained, "agreement": agreement}
    return Screened(tuple(selections), measures, time.perf_counter() - started)


def score_shared(model: SentenceTransformer, screened: Screened, dev: Sequence[StsRow], hardware: Hardware) -> Screened:
    """Score the same selections with weights that all of them share."""
    pairs, started = Pairs.of(dev), time.perf_counter()
    scores = {
        selection: pairs.score(vectors)
        for selection, vectors in embed_subsets(model, screened.selections, pairs.texts, hardware)
    }
    shared = tuple(scores[selection] for selection in screened.selections)
    seconds = screened.seconds + time.perf_counter() - started
    return Screened(screened.selections, screened.measures | {"shared": shared}, seconds)


def embed_once(model: SentenceTransformer, texts: Sequence[str], hardware: Hardware) -> NDArray[np.float32]:
    """Return the embeddings of a whole model. *Shape:* (texts, dim)"""
    all_layers = LayerSelection.all(len(layers_of(encoder_of(model))))
    ((_, vectors),) = embed_subsets(model, [all_layers], texts, hardware)
    return vectors


_Settings = TypeVar("_Settings", bound="PhaseSettings")

EPOCHS = 0.5
"""The length of a phase of shared weights, as a share of the recipe's epochs.

The ranking of selections is stable long before any of them is fully trained.
"""


def shared_settings(settings: _Settings, share: float) -> _Settings:
    """Return a phase's settings for shared weights.

    Args:
        settings: The recipe's settings.
        share: The share of its epochs to train.
    """
    changes = {
        "distillation": 0.0,
        "adaptive_layers": False,
        "matryoshka_dims": None,
        "pooling": None,
        "keep": "last",
        "epochs": settings.epochs * share,
        "evaluate_every": 1000.0,
    }
    return settings.model_copy(update=changes)


def train_shared(context: Context, recipe: Recipe, inputs: Inputs, space: Space) -> SentenceTransformer:
    """Train the whole base so that its selections can be scored without training. Resumes after a kill.

    Only the labels teach: a teacher would have to be followed layer by layer.
    """
    base, texts = inputs.pruning.base, inputs.texts
    subsets = Subsets(space.depth, space.counts, recipe.seed, space.first_stays)
    model = as_sentence_model(base, recipe)
    with context.step("share", {"base": base.uri}, recipe, reads=("nli.", "sts.", "seed")) as run:
        for phase in (phase for phase in recipe.phases if phase in LABELLED):
            settings, rows = shared_settings(recipe.settings_of(phase), EPOCHS), PHASES[phase].rows(texts)
            assert rows is not None  # loaded with the other inputs
            data = {"rows": rows.digest, "space": str(space), "settings": settings.model_dump_json()}
            key = phase_key(recipe, context.hardware, phase, base, data=data, taught_by="shared")
            with phase_setup(context, recipe, run, phase, key=key) as setup:
                PhaseTrainer(model, setup, subsets=subsets).train(phase, rows.rows, settings)
    return model
