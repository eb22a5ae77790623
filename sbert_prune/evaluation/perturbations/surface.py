"""Slips of a typist: a letter left out, doubled, or before its neighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_prune.evaluation.perturbations.chance import Chance
from sbert_prune.evaluation.perturbations.clusters import clusters

if TYPE_CHECKING:
    from collections.abc import Iterator

_FEWEST_LETTERS = 3  # of a word: in a shorter one nobody knows what was meant
_LETTERS_PER_TYPO = 25  # some five words of English


def with_typos(sentence: str) -> str | None:
    """One slip for every 25 letters, each in another word and never in its first letter. None without a word of three letters."""
    letters, chance = clusters(sentence), Chance("typos", sentence)
    words = _words(letters)
    num_typos = max(1, sum(end - start for start, end in words) // _LETTERS_PER_TYPO)
    for start, end in sorted(chance.shuffled(words)[:num_typos], reverse=True):  # from the end, so that places before it hold
        letters[start:end] = _slip(letters[start:end], chance)
    changed = "".join(letters)
    return changed if changed != sentence else None


def _words(letters: list[str]) -> list[tuple[int, int]]:
    """Start and end of what is long enough, without digits and signs."""
    found, start = [], 0
    for place, letter in enumerate([*letters, " "]):
        if not letter[0].isalpha():
            if place - start >= _FEWEST_LETTERS:
                found.append((start, place))
            start = place + 1
    return found


def _slip(word: list[str], chance: Chance) -> list[str]:
    """The word with a slip after which all other letters are still themselves; as it was if there is none."""
    slips = chance.shuffled(list(_slips(word)))
    slipped = ([*word[:start], *instead, *word[end:]] for start, end, instead in slips)
    return next((letters for letters in slipped if clusters("".join(letters)) == letters), word)


def _slips(word: list[str]) -> Iterator[tuple[int, int, list[str]]]:
    """Start and end of the letters that a slip is about, and what is written instead of them."""
    for place, letter in enumerate(word[1:], start=1):
        yield place, place + 1, []
        yield place, place + 1, [letter, letter]
        if place + 1 < len(word) and word[place + 1] != letter:
            yield place, place + 2, [word[place + 1], letter]
