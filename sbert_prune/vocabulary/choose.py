"""Which pieces to keep."""

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

_UNKNOWN = 20.0  # below the score of any path through known pieces


def distances(pieces: Pieces, rows: NDArray[np.float32], numbers: Iterable[int], kept: Iterable[int]) -> dict[int, float]:
    """For each id in `numbers`, the cosine distance (0 to 2) of its row to the mean of the rows it would be replaced by among `kept`.

    What nothing can replace has a distance of 1. *Shape:* rows (pieces, width).
    """
    replace = _replacer(pieces, set(kept))
    return {number: _distance(rows, number, replace(number)) for number in numbers}


def _distance(rows: NDArray[np.float32], number: int, replacement: list[int]) -> float:
    if not replacement:
        return 1.0
    own, other = rows[number], rows[replacement].mean(axis=0)
    scale = float(np.linalg.norm(own) * np.linalg.norm(other))
    return 1.0 - float(own @ other) / scale if scale else 1.0


def _replacer(pieces: Pieces, kept: set[int]) -> Callable[[int], list[int]]:
    """A function from an id to the ids that stand for it without itself; none where a character is not known."""
    texts = {number: text for text, number in pieces.numbers}
    known = {text: number for text, number in pieces.numbers if number in kept}
    if pieces.kind == "BPE":
        merges = Merges(pieces.model)
        return lambda number: [known[text] for text in merges.without(texts[number], known) if text in known]
    if pieces.kind == "Unigram":
        scores = {text: score for text, score in pieces.model["vocab"] if text in known}
        return lambda number: [known[text] for text in _by_score(texts[number], scores)]
    prefix = str(pieces.model.get("continuing_subword_prefix") or "")
    return lambda number: _by_length(texts[number], known, prefix)


def _by_length(text: str, known: dict[str, int], prefix: str) -> list[int]:
    """WordPiece: the longest known piece first, from left to right."""
    inner = bool(prefix) and text.startswith(prefix)
    bare = text.removeprefix(prefix) if inner else text
    found: list[int] = []
    start = 0
    while start < len(bare):
        forms = ((prefix if inner or start else "") + bare[start:end] for end in range(len(bare), start, -1))
        form = next((form for form in forms if form in known and form != text), None)
        if form is None:
            return []
        found.append(known[form])
        start += len(form) - (len(prefix) if inner or start else 0)
    return found


def _by_score(text: str, scores: dict[str, float]) -> list[str]:
    """Unigram: the path of the highest sum of scores."""
    best: list[tuple[float, tuple[str, ...]]] = [(0.0, ())]
    for end in range(1, len(text) + 1):
        paths = [
            (best[start][0] + scores[text[start:end]], (*best[start][1], text[start:end]))
            for start in range(end)
            if text[start:end] in scores and text[start:end] != text
        ]
        best.append(max(paths, default=(best[-1][0] - _UNKNOWN, best[-1][1])))
    return list(best[-1][1])


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
