"""The same words in another order."""

from __future__ import annotations

from sbert_prune.evaluation.perturbations.chance import Chance
from sbert_prune.evaluation.perturbations.words import Words

_FEWEST_WORDS = 3
_WORDS_PER_SWAP = 10
_SHUFFLES = 8  # enough that some word moves wherever one can


def with_swapped_words(sentence: str) -> str | None:
    """Two neighbours change places, in a long sentence two for every ten words; never across a sign.

    None for fewer than three words, and without neighbours that differ.
    """
    split = Words.of(sentence)
    if len(split.words) < _FEWEST_WORDS:
        return None
    words = list(split.words)
    places = [place for place in range(len(words) - 1) if words[place] != words[place + 1] and not split.gaps[place + 1].strip()]
    moved: set[int] = set()
    for place in Chance("swapped_words", sentence).shuffled(places):
        if len(moved) < 2 * max(1, len(words) // _WORDS_PER_SWAP) and not moved & {place, place + 1}:
            words[place], words[place + 1] = words[place + 1], words[place]
            moved |= {place, place + 1}
    return Words(tuple(words), split.gaps).sentence() if moved else None


def scrambled(sentence: str) -> str | None:
    """All words in a random order: of some, the one that leaves fewest where they were. Signs stay where they are.

    None for fewer than three words, and where all are the same.
    """
    split = Words.of(sentence)
    if len(split.words) < _FEWEST_WORDS:
        return None
    chance = Chance("scrambled", sentence)
    orders = [tuple(chance.shuffled(split.words)) for _ in range(_SHUFFLES)]
    words = min(orders, key=lambda order: sum(map(str.__eq__, order, split.words)))
    return Words(words, split.gaps).sentence() if words != split.words else None
