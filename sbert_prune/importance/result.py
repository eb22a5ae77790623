"""How much each layer matters to one method, as a value that says which layers to keep."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from sbert_prune.errors import EncoderError, SelectionError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Importance(ABC):
    """How much each layer matters, by one method.

    method: its name in IMPORTANCE.
    num_sentences: how many sentences were embedded for it.

    Raises EncoderError naming the method where a number is not finite.
    """

    method: str
    num_sentences: int

    def __post_init__(self) -> None:
        for number in self._numbers():
            if not math.isfinite(number):
                raise EncoderError(
                    f"{self.method} measured {number}, which ranks no layers: this encoder's layers give no finite or no varying output. "
                    "Check the base's weights, or choose the layers by a named strategy."
                )

    @final
    def keep(self, num_layers: int, *, first_stays: bool = False) -> tuple[int, ...]:
        """The layers to keep, ascending; among equals the lower ones.

        Raises SelectionError for a number outside 1..depth.
        """
        depth = len(self.layer_scores())
        if not 1 <= num_layers <= depth:
            raise SelectionError(
                f"{num_layers} layers cannot be kept by {self.method}: the encoder has {depth} layers. Ask for 1 to {depth}."
            )
        return self._choose(num_layers, first_stays=first_stays)

    @final
    def as_dict(self) -> dict[str, Any]:
        """For importance.json; a layer that was not scored, because it has to stay, is null."""
        return {"method": self.method, "num_sentences": self.num_sentences, "scores": list(self.layer_scores()), **self._more()}

    @abstractmethod
    def layer_scores(self) -> tuple[float | None, ...]:
        """One number a layer, higher for what matters more; None for a layer that has to stay."""

    @abstractmethod
    def _choose(self, num_layers: int, *, first_stays: bool) -> tuple[int, ...]: ...

    @abstractmethod
    def _numbers(self) -> Iterable[float]: ...

    @abstractmethod
    def _more(self) -> dict[str, Any]: ...
