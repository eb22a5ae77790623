"""Choices that look random but follow from the sentence, the same in every process and with every version of Python."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")

_BYTES = 8  # of a number: large enough that a remainder's bias is nothing


class Chance:
    """Draws that are seeded from the kind of perturbation and the sentence."""

    def __init__(self, kind: str, sentence: str) -> None:
        self._stream = hashlib.shake_128(f"{kind}\0{sentence}".encode())
        self._numbers: list[int] = []
        self._num_drawn = 0

    def below(self, bound: int) -> int:
        """An integer of 0 to bound - 1."""
        if self._num_drawn == len(self._numbers):  # a longer digest begins with the shorter one
            self._numbers = np.frombuffer(
                self._stream.digest(_BYTES * max(32, 4 * self._num_drawn)), dtype="<u8"
            ).tolist()
        self._num_drawn += 1
        return self._numbers[self._num_drawn - 1] % bound

    def pick(self, items: Sequence[Item]) -> Item:
        """One of some."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """All of them in another order (Fisher-Yates), or by chance in the same."""
        found = list(items)
        for last in range(len(found) - 1, 0, -1):
            other = self.below(last + 1)
            found[last], found[other] = found[other], found[last]
        return found
