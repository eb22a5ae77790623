"""Choose the pieces to keep: the required ones, then the most frequent, weighted by how badly others replace them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.errors import RecipeError
from sbert_prune.vocabulary.tokenizer_json import Merges

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from sbert_prune.recipe.values import VocabularyLimit
    from sbert_prune.vocabulary.tokenizer_json import Pieces

_UNKNOWN_PENALTY = 20.0  # puts a path with an unknown character below any path of kept pieces
_SHARPNESS = 4  # chosen on STSb dev: a piece with a fair replacement has to be far more frequent than one without


def choose_pieces(
    pieces: Pieces,
    occurrences: Counter[int],
    limit: VocabularyLimit,
    required: Iterable[int],
    rows: NDArray[np.float32] | None = None,
) -> tuple[int, ...]:
    """Return the ids to keep, ascending: the irreplaceable and the required ones, then the most frequent, ties by id.

    A sentence whose pieces are all kept is cut into exactly these pieces again. (For WordPiece this is true of the
    unknown piece too, as long as each character inside a piece is itself a piece, which trainers ensure.)

    Args:
        pieces: All pieces.
        occurrences: How often each piece occurs in the corpus.
        limit: The number of pieces to keep, or the share of occurrences to cover.
        required: Ids that must be kept.
        rows: The pieces' embedding rows. With them, and a number of pieces to keep, the pieces that are both rare and
            well replaced are dropped first: the weight of a piece is its number of occurrences times the distance of
            its row to the mean row of its replacement, to the fourth power.

    Raises:
        RecipeError: The limit is below the number of pieces that must be kept.
    """
    all_ids = pieces.ids
    if not limit.trims or (limit.pieces is not None and limit.pieces >= len(all_ids)):
        return tuple(all_ids)
    required, with_parts = set(required), _with_parts(pieces)
    kept = must_stay(pieces, limit, required)
    ranked = _by_weight(set(all_ids) - kept, occurrences)
    if limit.coverage is not None:
        _cover(kept, ranked, with_parts, occurrences, Fraction(str(limit)))
        return tuple(sorted(kept))
    required_ids, size = set(kept), limit.pieces or 0
    _fill(kept, ranked, with_parts, size)
    if rows is not None:
        weights = {
            number: occurrences[number] * distance**_SHARPNESS
            for number, distance in distances(pieces, rows, occurrences, kept).items()
        }
        kept = required_ids
        _fill(kept, _by_weight(set(all_ids) - kept, weights), with_parts, size)
    return tuple(sorted(kept))


def must_stay(pieces: Pieces, limit: VocabularyLimit, required: Iterable[int]) -> set[int]:
    """Return the ids that are kept however rare they are. Raises RecipeError if the limit is below their number."""
    with_parts = _with_parts(pieces)
    kept = set().union(*(with_parts(number) for number in pieces.irreplaceable() | set(required)))
    if limit.pieces is not None and limit.pieces < len(kept):
        raise RecipeError(
            f"vocabulary={limit.pieces}: {len(kept)} of this tokenizer's {len(pieces.ids)} pieces have to stay "
            f"(special ones, single characters, and the parts that they are merged from). Ask for {len(kept)} or more, "
            "or take a smaller base."
        )
    return kept


def distances(
    pieces: Pieces, rows: NDArray[np.float32], numbers: Iterable[int], kept: Iterable[int]
) -> dict[int, float]:
    """Return how badly each piece is replaced by kept pieces.

    Args:
        pieces: All pieces.
        rows: The embedding rows. *Shape:* (pieces, width)
        numbers: The ids of the pieces to replace.
        kept: The ids of the kept pieces.

    Returns:
        By id, the cosine distance (0 to 2) of the piece's row to the mean of the rows of the pieces that it would be
        cut into; 1 if there are none.
    """
    replace = _replacer(pieces, set(kept))
    return {number: _distance(rows, number, replace(number)) for number in numbers}


def _by_weight(numbers: Iterable[int], weights: Mapping[int, float]) -> list[int]:
    return sorted(numbers, key=lambda number: (-weights.get(number, 0), number))


def _cover(
    kept: set[int],
    ranked: list[int],
    with_parts: Callable[[int], set[int]],
    occurrences: Counter[int],
    share: Fraction,
) -> None:
    """Add pieces until the kept ones cover the share of all occurrences."""
    missing = share * occurrences.total() - sum(occurrences[number] for number in kept)
    for number in ranked:
        if missing <= 0:
            return
        added = with_parts(number) - kept
        kept |= added
        missing -= sum(occurrences[other] for other in added)


def _fill(kept: set[int], ranked: list[int], with_parts: Callable[[int], set[int]], size: int) -> None:
    """Add pieces up to a number, skipping each that does not fit together with its parts.

    One pass is enough: when the parts of a skipped piece have been added by themselves, the piece does not fit any
    more.
    """
    for number in ranked:
        if len(kept) >= size:
            return
        added = with_parts(number) - kept
        if len(kept) + len(added) <= size:
            kept |= added


def _with_parts(pieces: Pieces) -> Callable[[int], set[int]]:
    """Return a function from an id to itself and the ids of all pieces that it is merged from."""
    if pieces.kind != "BPE":
        return lambda number: {number}
    merges = Merges(pieces.model)
    texts = {number: text for text, number in pieces.numbers}
    numbers = dict(pieces.numbers)

    def with_parts(number: int) -> set[int]:
        return {number} | {numbers[text] for text in merges.steps(texts[number]) if text in numbers}

    return with_parts


def _distance(rows: NDArray[np.float32], number: int, replacement: list[int]) -> float:
    if not replacement:
        return 1.0
    row, mean = rows[number], rows[replacement].mean(axis=0)
    scale = float(np.linalg.norm(row) * np.linalg.norm(mean))
    return 1.0 - float(row @ mean) / scale if scale else 1.0


def _replacer(pieces: Pieces, kept: set[int]) -> Callable[[int], list[int]]:
    """Return a function from an id to the ids that replace it if it is removed; none if a character is unknown."""
    texts = {number: text for text, number in pieces.numbers}
    kept_ids = {text: number for text, number in pieces.numbers if number in kept}
    if pieces.kind == "BPE":
        merges = Merges(pieces.model)
        return lambda number: [kept_ids[text] for text in merges.without(texts[number], kept_ids) if text in kept_ids]
    if pieces.kind == "Unigram":
        scores = {text: score for text, score in pieces.model["vocab"] if text in kept_ids}
        return lambda number: [kept_ids[text] for text in _cut_by_score(texts[number], scores)]
    prefix = str(pieces.model.get("continuing_subword_prefix") or "")
    return lambda number: _cut_by_length(texts[number], kept_ids, prefix)


def _cut_by_length(text: str, kept_ids: dict[str, int], prefix: str) -> list[int]:
    """Cut a text as WordPiece does: the longest kept piece first, from left to right."""
    is_inner = bool(prefix) and text.startswith(prefix)
    bare = text.removeprefix(prefix) if is_inner else text
    ids: list[int] = []
    start = 0
    while start < len(bare):
        forms = ((prefix if is_inner or start else "") + bare[start:end] for end in range(len(bare), start, -1))
        form = next((form for form in forms if form in kept_ids and form != text), None)
        if form is None:
            return []
        ids.append(kept_ids[form])
        start += len(form) - (len(prefix) if is_inner or start else 0)
    return ids


def _cut_by_score(text: str, scores: dict[str, float]) -> list[str]:
    """Cut a text as Unigram does: the path with the highest sum of scores."""
    best: list[tuple[float, tuple[str, ...]]] = [(0.0, ())]
    for end in range(1, len(text) + 1):
        paths = [
            (best[start][0] + scores[text[start:end]], (*best[start][1], text[start:end]))
            for start in range(end)
            if text[start:end] in scores and text[start:end] != text
        ]
        best.append(max(paths, default=(best[-1][0] - _UNKNOWN_PENALTY, best[-1][1])))
    return list(best[-1][1])
