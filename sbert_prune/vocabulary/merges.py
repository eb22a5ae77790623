"""Which pieces a byte pair encoding passes through on its way to a piece.

Merges of a text never cross the borders of its final pieces, so each piece comes about as it would alone. Keeping what a piece
alone passes through, and all merges among kept pieces in their order, therefore leaves every text whose pieces are kept as it was.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container


class Merges:
    """The merge rules of a BPE model."""

    def __init__(self, model: dict[str, Any]) -> None:
        self._prefix: str = model.get("continuing_subword_prefix") or ""
        self._suffix: str = model.get("end_of_word_suffix") or ""
        self._ranks = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}
        self._halves: defaultdict[str, set[str]] = defaultdict(set)
        for left, right in self._ranks:
            self._halves[self.joined(left, right)] |= {left, right}

    def joined(self, left: str, right: str) -> str:
        """The piece that two pieces merge into."""
        return left + right[len(self._prefix) :]

    def steps(self, piece: str) -> set[str]:
        """All pieces that must be known to build this one, without itself.

        What is not built from its characters (but from bytes of a fallback, say) needs the halves of every rule that yields it.
        """
        if piece not in self._halves:
            return set()
        seen = self._run(self._characters(piece))
        return seen - {piece} if piece in seen else self._all_halves(piece)

    def without(self, piece: str, known: Container[str]) -> list[str]:
        """What a text that is a piece is cut into where that one is not known, and of the others only those in `known`."""
        symbols = self._characters(piece)
        while ranked := [
            (self._ranks[pair], index)
            for index, pair in enumerate(pairwise(symbols))
            if pair in self._ranks and (joined := self.joined(*pair)) != piece and joined in known
        ]:
            _, index = min(ranked)
            symbols[index : index + 2] = [self.joined(symbols[index], symbols[index + 1])]
        return symbols

    def _characters(self, piece: str) -> list[str]:
        """The characters of a piece as the model looks them up: "##x" behind another, "x</w>" at the end of a word."""
        bare = piece.removesuffix(self._suffix)
        inner = bool(self._prefix) and bare.startswith(self._prefix)
        letters = bare.removeprefix(self._prefix) if inner else bare
        symbols = [self._prefix + letter if inner or index else letter for index, letter in enumerate(letters)]
        return [*symbols[:-1], symbols[-1] + piece[len(bare) :]] if symbols else []

    def _run(self, symbols: list[str]) -> set[str]:
        """All symbols on the way, merging the pair of the lowest rank first, the leftmost of equal ones."""
        seen = set(symbols)
        while ranked := [(self._ranks[pair], index) for index, pair in enumerate(pairwise(symbols)) if pair in self._ranks]:
            _, index = min(ranked)
            symbols[index : index + 2] = [self.joined(symbols[index], symbols[index + 1])]
            seen.add(symbols[index])
        return seen

    def _all_halves(self, piece: str) -> set[str]:
        found: set[str] = set()
        waiting = [piece]
        while waiting:
            fresh = self._halves.get(waiting.pop(), set()) - found
            found |= fresh
            waiting.extend(fresh)
        return found - {piece}

    @staticmethod
    def among(model: dict[str, Any], kept: set[str]) -> list[list[str]]:
        """The rules whose halves and outcome are all kept, in their order."""
        prefix = len(model.get("continuing_subword_prefix") or "")
        return [[left, right] for left, right in model["merges"] if left in kept and right in kept and left + right[prefix:] in kept]
