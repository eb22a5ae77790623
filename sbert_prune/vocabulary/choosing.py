"""Which pieces to keep."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from sbert_prune.errors import RecipeError
from sbert_prune.vocabulary.merges import Merges

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

    from sbert_prune.vocabulary.pieces import Pieces
    from sbert_prune.vocabulary_limit import VocabularyLimit


def choose_pieces(pieces: Pieces, occurrences: Counter[int], limit: VocabularyLimit, required: Iterable[int]) -> tuple[int, ...]:
    """The ids to keep, ascending: what is irreplaceable or required, then the most frequent, equal ones by id.

    A sentence whose pieces are all kept is cut into exactly these pieces again. (A WordPiece vocabulary gives this for the unknown
    piece too, as long as each character inside a piece is itself a piece, which trainers see to.)
    Raises RecipeError for a limit below what has to stay.
    """
    everything = pieces.ids
    if not limit.trims or (limit.pieces is not None and limit.pieces >= len(everything)):
        return tuple(everything)
    along = _companions(pieces)
    kept = must_stay(pieces, limit, required)
    ranked = sorted((number for number in everything if number not in kept), key=lambda number: (-occurrences[number], number))
    if limit.coverage is not None:
        _cover(kept, ranked, along, occurrences, Fraction(str(limit)))
    else:
        _fill(kept, ranked, along, limit.pieces or 0)
    return tuple(sorted(kept))


def must_stay(pieces: Pieces, limit: VocabularyLimit, required: Iterable[int]) -> set[int]:
    """What is kept however rare it is. Raises RecipeError for a limit below that: ask before a corpus is counted."""
    along = _companions(pieces)
    kept = set().union(*(along(number) for number in pieces.irreplaceable() | set(required)))
    if limit.pieces is not None and limit.pieces < len(kept):
        raise RecipeError(
            f"vocabulary={limit.pieces}: {len(kept)} of this tokenizer's {len(pieces.ids)} pieces have to stay (special ones, single "
            f"characters and what is built into them). Ask for {len(kept)} or more, or take a smaller base."
        )
    return kept


def _cover(kept: set[int], ranked: list[int], along: Callable[[int], set[int]], occurrences: Counter[int], share: Fraction) -> None:
    missing = share * occurrences.total() - sum(occurrences[number] for number in kept)
    for number in ranked:
        if missing <= 0:
            return
        added = along(number) - kept
        kept |= added
        missing -= sum(occurrences[other] for other in added)


def _fill(kept: set[int], ranked: list[int], along: Callable[[int], set[int]], size: int) -> None:
    """Add pieces while there is room, passing over those whose companions leave none.

    Once is enough: by the time the companions of one passed over have come in by themselves, no room is left for it.
    """
    for number in ranked:
        if len(kept) >= size:
            return
        added = along(number) - kept
        if len(kept) + len(added) <= size:
            kept |= added


def _companions(pieces: Pieces) -> Callable[[int], set[int]]:
    """A function from an id to itself and the ids of all pieces that it cannot do without."""
    if pieces.kind != "BPE":
        return lambda number: {number}
    merges = Merges(pieces.model)
    texts = {number: text for text, number in pieces.numbers}
    numbers = dict(pieces.numbers)

    def along(number: int) -> set[int]:
        return {number} | {numbers[text] for text in merges.steps(texts[number]) if text in numbers}

    return along
