"""Words left out, of those that carry least."""

from __future__ import annotations

from sbert_prune.evaluation.perturbations.chance import Chance
from sbert_prune.evaluation.perturbations.negation_words import is_negation
from sbert_prune.evaluation.perturbations.words import Words

_FEWEST_WORDS = 3
_WORDS_PER_DROP = 10


def with_dropped_words(sentence: str) -> str | None:
    """One word in ten is left out, at least one: of the shortest third, where articles and particles are; no number, and no "not".

    None for fewer than three words, and where none can go.
    """
    split = Words.of(sentence)
    if len(split.words) < _FEWEST_WORDS:
        return None
    places = sorted((place for place in range(len(split.words)) if _may_go(split, place)), key=lambda place: len(split.words[place]))
    if not places:
        return None
    longest = len(split.words[places[(len(places) - 1) // 3]])
    places = [place for place in places if len(split.words[place]) <= longest]
    num_dropped = max(1, len(split.words) // _WORDS_PER_DROP)
    words, gaps = list(split.words), list(split.gaps)
    for place in sorted(Chance("dropped_words", sentence).shuffled(places)[:num_dropped], reverse=True):
        gaps[place : place + 2] = [_gap_that_stays(place, *gaps[place : place + 2])]
        del words[place]
    return Words(tuple(words), tuple(gaps)).sentence()


def _may_go(split: Words, place: int) -> bool:
    word = split.words[place]
    between_signs = split.gaps[place].strip() and split.gaps[place + 1].strip()
    return not between_signs and not is_negation(word) and not any(map(str.isdecimal, word))


def _gap_that_stays(place: int, before: str, behind: str) -> str:
    """With a word goes one of the gaps beside it: the blank, not the sign."""
    return before if place == 0 or before.strip() else behind
