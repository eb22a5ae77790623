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
    for place in sorted(Chance("dropped_words", sentence).shuffled(places)[:num_dropped], reverse=True):
        split = _without(split, place)
    return split.sentence()


def _may_go(split: Words, place: int) -> bool:
    word = split.words[place]
    between_signs = split.gaps[place].strip() and split.gaps[place + 1].strip()
    return not between_signs and not is_negation(word) and not any(map(str.isdecimal, word))


def _without(split: Words, place: int) -> Words:
    """The word goes, and with it one of the gaps beside it: the blank, not the sign."""
    before, behind = split.gaps[place], split.gaps[place + 1]
    kept = before if place == 0 or before.strip() else behind
    return Words(split.words[:place] + split.words[place + 1 :], (*split.gaps[:place], kept, *split.gaps[place + 2 :]))
