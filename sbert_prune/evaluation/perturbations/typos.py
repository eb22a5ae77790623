"""Slips of a typist: a letter left out, doubled, or before its neighbour."""

from __future__ import annotations

from sbert_prune.evaluation.perturbations.chance import Chance
from sbert_prune.evaluation.perturbations.clusters import clusters

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
    slips = [slip for place in range(1, len(word)) for slip in _slips_at(word, place)]
    return next((slip for slip in chance.shuffled(slips) if clusters("".join(slip)) == slip), word)


def _slips_at(word: list[str], place: int) -> list[list[str]]:
    before, letter, behind = word[:place], word[place], word[place + 1 :]
    swapped = [[*before, behind[0], letter, *behind[1:]]] if behind and behind[0] != letter else []
    return [[*before, *behind], [*before, letter, letter, *behind], *swapped]
