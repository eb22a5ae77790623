"""Screening: what selections of layers are worth before anything is trained, for hundreds of them a minute."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pipelines.steps.keys import phase_key
from pipelines.steps.records import as_sentence_model
from pipelines.steps.train import phase_setup
from sbert_prune.data.rows import take
from sbert_prune.evaluation.correlation import spearman
from sbert_prune.layer_analysis.similarity import linear_cka
from sbert_prune.layer_analysis.subsets import embed_subsets
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import layers_of
from sbert_prune.models.sentence import encoder_of
from sbert_prune.training.phases import PhaseTrainer
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

MOST = 1_000
"""So many selections are screened at most: all of them, or as many at random."""

_PAIRS = 120
"""Dev pairs that a selection is scored on, the same for all, so that their differences are paired."""


@dataclass(frozen=True)
class Pairs:
    """The dev pairs of a screening. texts: each once.  left, right: places in them. *Shape:* (pairs,)  gold: 0 to 1. *Shape:* (pairs,)"""

    texts: list[str]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    gold: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[StsRow]) -> Pairs:
        """So many of them, from all over the split."""
        chosen = take(rows, range(0, len(rows), max(1, len(rows) // _PAIRS)))[:_PAIRS]
        places: dict[str, int] = {}
        index = [[places.setdefault(text, len(places)) for text in row.sentences] for row in chosen]
        left, right = np.array(index).T
        return cls(list(places), left, right, np.array([row.score for row in chosen]))

    def score(self, vectors: NDArray[np.float32]) -> float:
        """Spearman of the cosines; -1 for embeddings without any order. *Shape of vectors:* (texts, dim)"""
        unit = vectors.astype(np.float64)
        unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        found = float(spearman((unit[self.left] * unit[self.right]).sum(axis=1)[None], self.gold[None])[0])
        return found if np.isfinite(found) else -1.0


@dataclass(frozen=True)
class Screened:
    """What a selection is worth by each measure, the selections alike in order.

    seconds: that scoring all of them took.  training_seconds: of the shared weights.

    measures: "untrained" (dev score), "agreement" (linear CKA with the reference's embeddings), "shared" (dev score with shared weights).
    """

    selections: tuple[LayerSelection, ...]
    measures: dict[str, tuple[float, ...]]
    seconds: float
    training_seconds: float = 0.0

    def of(self, measure: str) -> dict[str, float]:
        """By selection."""
        return {str(one): value for one, value in zip(self.selections, self.measures[measure], strict=True)}

    @property
    def strongest(self) -> str:
        """The measure to go by: shared weights where there are any."""
        return next((name for name in ("shared", "agreement") if name in self.measures), "untrained")

    def ranked(self) -> list[LayerSelection]:
        """The selections, best first by the strongest measure: the best of each count of layers, then the second of each."""
        by_count = self._by_count().values()
        return [one for places in zip_longest(*by_count) for one in places if one is not None]

    def lower_half(self) -> frozenset[str]:
        """Those that the strongest measure ranks below the middle of as many layers."""
        return frozenset(str(one) for ranked in self._by_count().values() for one in ranked[(len(ranked) + 1) // 2 :])

    def _by_count(self) -> dict[int, list[LayerSelection]]:
        values = self.of(self.strongest)
        found: dict[int, list[LayerSelection]] = {}
        for one in sorted(self.selections, key=lambda one: (-values[str(one)], one.kept)):
            found.setdefault(one.num_layers, []).append(one)
        return found

    @property
    def per_minute(self) -> float:
        """Selections."""
        return 60 * len(self.selections) / max(self.seconds, 1e-9)


def selections_to_screen(space: Space, named: Iterable[LayerSelection], seed: int) -> tuple[LayerSelection, ...]:
    """All of a space's selections, or those that have a name and as many at random as fit."""
    if space.num_selections <= MOST:
        return tuple(space.selections())
    generator = random.Random(seed)
    found = {one: None for one in named if space.holds(one)}
    while len(found) < MOST:
        found[space.draw(generator)] = None
    return tuple(found)


def screen(
    base: SavedModel, reference: SavedModel, recipe: Recipe, given: tuple[Sequence[LayerSelection], Sequence[StsRow], Hardware]
) -> Screened:
    """Score every selection of the base's layers without training. given: selections, dev pairs and hardware."""
    selections, dev, hardware = given
    pairs, began = Pairs.of(dev), time.perf_counter()
    model = as_sentence_model(base, recipe)
    wanted = embed_once(as_sentence_model(reference, recipe), pairs.texts, hardware)
    found = {
        one: (pairs.score(vectors), linear_cka(vectors, wanted)) for one, vectors in embed_subsets(model, selections, pairs.texts, hardware)
    }
    untrained, agreement = zip(*(found[one] for one in selections), strict=True)
    return Screened(tuple(selections), {"untrained": untrained, "agreement": agreement}, time.perf_counter() - began)


def score_shared(model: SentenceTransformer, screened: Screened, dev: Sequence[StsRow], hardware: Hardware) -> Screened:
    """Score the same selections with weights that all of them share."""
    pairs, began = Pairs.of(dev), time.perf_counter()
    found = {one: pairs.score(vectors) for one, vectors in embed_subsets(model, screened.selections, pairs.texts, hardware)}
    shared = tuple(found[one] for one in screened.selections)
    return Screened(screened.selections, screened.measures | {"shared": shared}, screened.seconds + time.perf_counter() - began)


def embed_once(model: SentenceTransformer, texts: Sequence[str], hardware: Hardware) -> NDArray[np.float32]:
    """Embeddings by a whole model. *Shape:* (texts, dim)"""
    every = LayerSelection.all(len(layers_of(encoder_of(model))))
    ((_, vectors),) = embed_subsets(model, [every], texts, hardware)
    return vectors


_Settings = TypeVar("_Settings", bound="PhaseSettings")

EPOCHS = 0.5
"""A phase of shared weights lasts so many times as long as the recipe's: what selections are worth beside each other shows long before any
of them is trained.
"""


def of_shared(settings: _Settings, share: float) -> _Settings:
    """A phase's settings for shared weights. share: of its epochs."""
    plain = {"distillation": 0.0, "adaptive_layers": False, "matryoshka_dims": None, "pooling": None, "keep": "last"}
    return settings.model_copy(update=plain | {"epochs": settings.epochs * share, "evaluate_every": 1000.0})


def train_shared(context: Context, recipe: Recipe, inputs: Inputs, space: Space) -> SentenceTransformer:
    """Train the whole base so that its selections can be scored without training; where it was killed, it goes on.

    The labels alone teach: who teaches a variant would have to be followed layer by layer.
    """
    base, texts = inputs.pruning.base, inputs.texts
    subsets = Subsets(space.depth, space.counts, recipe.seed, space.first_stays)
    model = as_sentence_model(base, recipe)
    with context.step("share", {"base": base.uri}, recipe, reads=("nli.", "sts.", "seed")) as run:
        for phase in (phase for phase in recipe.phases if phase != "distil"):
            settings = of_shared(getattr(recipe, phase), EPOCHS)
            data = {"rows": texts.sts.train.digest if phase == "sts" else texts.nli.digest if texts.nli else ""}
            data |= {"space": str(space), "settings": settings.model_dump_json()}
            key = phase_key(recipe, context.hardware, phase, base, data=data, taught_by="shared")
            with phase_setup(context, recipe, run, phase, key=key) as setup:
                healer = PhaseTrainer(model, setup, subsets=subsets)
                if phase == "sts":
                    healer.train_sts(texts.sts.train.rows, settings)
                else:
                    assert texts.nli is not None
                    healer.train_nli(texts.nli.rows, settings)
    return model
