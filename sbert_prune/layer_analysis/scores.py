"""Results of the importance methods: scores of layers, distances of blocks, or a curve of losses."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

from sbert_prune.errors import EncoderError, SelectionError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Importance(ABC):
    """The importance of each layer by one method.

    Attributes:
        method: Name of the method in IMPORTANCE.
        num_sentences: Number of embedded sentences.

    Raises:
        EncoderError: A number is not finite.
    """

    method: str
    num_sentences: int

    def __post_init__(self) -> None:
        for number in self._numbers():
            if not math.isfinite(number):
                raise EncoderError(
                    f"{self.method} measured {number}, which cannot rank layers: the output of this encoder's layers "
                    "is not finite or does not vary. "
                    "Check the base's weights, or choose the layers by a named strategy."
                )

    @final
    def keep(self, num_layers: int, *, first_stays: bool = False) -> tuple[int, ...]:
        """Return the layers to keep, ascending; among equals the lower ones.

        Raises SelectionError for a number outside 1..depth.
        """
        depth = len(self.layer_scores())
        if not 1 <= num_layers <= depth:
            raise SelectionError(
                f"{num_layers} layers cannot be kept by {self.method}: the encoder has {depth} layers. Ask for 1 to "
                f"{depth}."
            )
        return self._choose(num_layers, first_stays=first_stays)

    @final
    def as_dict(self) -> dict[str, Any]:
        """Return the content of importance.json; a layer that was not scored because it must stay is null."""
        return {
            "method": self.method,
            "num_sentences": self.num_sentences,
            "scores": list(self.layer_scores()),
            **self._more(),
        }

    @abstractmethod
    def layer_scores(self) -> tuple[float | None, ...]:
        """Return one number per layer, higher for more important ones; None for a layer that must stay."""

    @abstractmethod
    def _choose(self, num_layers: int, *, first_stays: bool) -> tuple[int, ...]: ...

    @abstractmethod
    def _numbers(self) -> Iterable[float]: ...

    @abstractmethod
    def _more(self) -> dict[str, Any]: ...


def _highest(scores: tuple[float | None, ...], num_layers: int, *, first_stays: bool) -> tuple[int, ...]:
    stays = [score is None or (first_stays and index == 0) for index, score in enumerate(scores)]
    ranked = sorted(range(len(scores)), key=lambda index: (not stays[index], -(scores[index] or 0.0), index))
    return tuple(sorted(ranked[:num_layers]))


@final
@dataclass(frozen=True)
class LayerScores(Importance):
    """One score per layer; the highest are kept. scores: None for a layer that must stay."""

    scores: tuple[float | None, ...]

    def layer_scores(self) -> tuple[float | None, ...]:
        return self.scores

    def _choose(self, num_layers: int, *, first_stays: bool) -> tuple[int, ...]:
        return _highest(self.scores, num_layers, first_stays=first_stays)

    def _numbers(self) -> Iterable[float]:
        return (score for score in self.scores if score is not None)

    def _more(self) -> dict[str, Any]:
        return {}


@final
@dataclass(frozen=True)
class BlockDistances(Importance):
    """The distance by which each block of adjacent layers moves the vectors; the block with the smallest is dropped.

    distances: indexed by the length of the block minus one, then by its first layer.
    """

    distances: tuple[tuple[float, ...], ...]

    def layer_scores(self) -> tuple[float | None, ...]:
        return self.distances[0]

    def _choose(self, num_layers: int, *, first_stays: bool) -> tuple[int, ...]:
        depth = len(self.distances)
        length = depth - num_layers
        if length == 0:
            return tuple(range(depth))
        starts = range(int(first_stays), num_layers + 1)
        start = min(starts, key=lambda start: (self.distances[length - 1][start], -start))
        return (*range(start), *range(start + length, depth))

    def _numbers(self) -> Iterable[float]:
        return (distance for row in self.distances for distance in row)

    def _more(self) -> dict[str, Any]:
        return {"block_distances": {str(length): list(row) for length, row in enumerate(self.distances, start=1)}}


@final
@dataclass(frozen=True)
class LossCurve(Importance):
    """The loss at each depth; the layers that lower it most are kept. losses: index 0 is the embeddings."""

    losses: tuple[float, ...]

    def layer_scores(self) -> tuple[float | None, ...]:
        return tuple(before - after for before, after in pairwise(self.losses))

    def suggested_depths(self) -> dict[str, int]:
        """Return how many first layers to keep: the depths of lowest loss in each half and overall.

        The halves are small and large in L3Prune.
        """
        depth = len(self.losses) - 1
        halves = {
            "lower_half": range(1, depth // 2 + 1),
            "upper_half": range(depth // 2 + 1, depth + 1),
            "overall": range(1, depth + 1),
        }
        return {name: min(depths, key=self.losses.__getitem__) for name, depths in halves.items() if depths}

    def _choose(self, num_layers: int, *, first_stays: bool) -> tuple[int, ...]:
        return _highest(self.layer_scores(), num_layers, first_stays=first_stays)

    def _numbers(self) -> Iterable[float]:
        return self.losses

    def _more(self) -> dict[str, Any]:
        return {"losses": list(self.losses), "suggested_depths": self.suggested_depths()}
