"""How texts were cut into pieces, in numbers."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet


def pieces_per_word(cut: Sequence[Sequence[int]], texts: Sequence[str]) -> float:
    """Pieces, without special ones, for each word; a word is what stands between white space.

    cut: for each text the ids of its pieces.
    """
    return sum(map(len, cut)) / max(sum(len(text.split()) for text in texts), 1)


def share_among(cut: Sequence[Sequence[int]], ids: AbstractSet[int]) -> float:
    """Share (0 to 1) of all pieces that are among these ids."""
    return sum(number in ids for pieces in cut for number in pieces) / max(sum(map(len, cut)), 1)
