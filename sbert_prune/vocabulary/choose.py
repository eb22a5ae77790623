"""Which pieces to keep."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from sbert_prune.errors import RecipeError
from sbert_prune.vocabulary.merges import Merges

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from sbert_prune.recipe.values import VocabularyLimit
    from sbert_prune.vocabulary.tokenizer_json import Pieces


_SHARPNESS = 4  # chosen on STSb dev: a piece with a fair replacement has to be far more frequent than one without


def choose_pieces(
    pieces: Pieces, occurrences: Counter[int], limit: VocabularyLimit, required: Iterable[int], rows: NDArray[np.float32] | None = None
) -> tuple[int, ...]:
    """The ids to keep, ascending: what is irreplaceable or required, then the most frequent, equal ones by id.

    rows: the pieces' rows. With them, and a number of pieces to keep, those go first that are both rare and well replaced: a piece
    counts as often as it occurs, times its row's distance to the mean of what would stand for it, to the fourth power.
    A sentence whose pieces are all kept is cut into exactly these pieces again. (A WordPiece vocabulary gives this for the unknown
    piece too, as long as each character inside a piece is itself a piece, which trainers see to.)
    Raises RecipeError for a limit below what has to stay.
    """
    everything = pieces.ids
    if not limit.trims or (limit.pieces is not None and limit.pieces >= len(everything)):
        return tuple(everything)
    required, along = set(required), _companions(pieces)
    kept = must_stay(pieces, limit, required)
    ranked = _by_weight(set(everything) - kept, occurrences)
    if limit.coverage is not None:
        _cover(kept, ranked, along, occurrences, Fraction(str(limit)))
        return tuple(sorted(kept))
    first, size = set(kept), limit.pieces or 0
    _fill(kept, ranked, along, size)
    if rows is not None:
        from sbert_prune.vocabulary.replacing import distances

        weights = {number: occurrences[number] * far**_SHARPNESS for number, far in distances(pieces, rows, occurrences, kept).items()}
        kept = first
        _fill(kept, _by_weight(set(everything) - kept, weights), along, size)
    return tuple(sorted(kept))


def _by_weight(numbers: Iterable[int], weights: Mapping[int, float]) -> list[int]:
    return sorted(numbers, key=lambda number: (-weights.get(number, 0), number))


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
