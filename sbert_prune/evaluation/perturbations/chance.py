"""Pseudo-random choices seeded by the sentence, the same in every process and Python version."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")

_BYTES = 8  # per number, so that the modulo bias is negligible


class Chance:
    """A random number generator seeded by the kind of perturbation and the sentence."""

    def __init__(self, kind: str, sentence: str) -> None:
        self._stream = hashlib.shake_128(f"{kind}\0{sentence}".encode())
        self._numbers: list[int] = []
        self._num_drawn = 0

    def below(self, bound: int) -> int:
        """Return an integer from 0 to bound - 1."""
        if self._num_drawn == len(self._numbers):  # a longer digest starts with the shorter one
            self._numbers = np.frombuffer(
                self._stream.digest(_BYTES * max(32, 4 * self._num_drawn)), dtype="<u8"
            ).tolist()
        self._num_drawn += 1
        return self._numbers[self._num_drawn - 1] % bound

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """Return the items in random order (Fisher-Yates)."""
        shuffled = list(items)
        for last in range(len(shuffled) - 1, 0, -1):
            other = self.below(last + 1)
            shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
        return shuffled
