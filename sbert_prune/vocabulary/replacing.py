"""What a piece would be cut into if it were not there, and how far that is from the piece itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.vocabulary.merges import Merges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

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
