"""Changes of the surface of a sentence: typos, case, numbers, words and punctuation."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from sbert_prune.data.scripts import script_of
from sbert_prune.evaluation.perturbations.chance import Chance
from sbert_prune.evaluation.perturbations.language import language_of
from sbert_prune.evaluation.perturbations.negation import is_negation
from sbert_prune.evaluation.perturbations.words import Words, clusters, is_punctuation

if TYPE_CHECKING:
    from collections.abc import Iterator

_FEWEST_LETTERS = 3  # of a word: a shorter one is not recognisable after a typo
_LETTERS_PER_TYPO = 25  # about five English words


def with_typos(sentence: str) -> str | None:
    """Add one typo per 25 letters: a letter dropped, doubled or swapped with the next one.

    Each typo is in a different word and never in its first letter. Returns None without a word of three letters.
    """
    letters, chance = clusters(sentence), Chance("typos", sentence)
    words = _words(letters)
    num_typos = max(1, sum(end - start for start, end in words) // _LETTERS_PER_TYPO)
    for start, end in sorted(chance.shuffled(words)[:num_typos], reverse=True):  # from the end: indices stay valid
        letters[start:end] = _with_typo(letters[start:end], chance)
    changed = "".join(letters)
    return changed if changed != sentence else None


def _words(letters: list[str]) -> list[tuple[int, int]]:
    """Return start and end of each word that is long enough, without digits and signs."""
    words, start = [], 0
    for index, letter in enumerate([*letters, " "]):
        if not letter[0].isalpha():
            if index - start >= _FEWEST_LETTERS:
                words.append((start, index))
            start = index + 1
    return words


def _with_typo(word: list[str], chance: Chance) -> list[str]:
    """Return the word with a typo that leaves all other letters intact, or unchanged if there is none."""
    typos = chance.shuffled(list(_possible_typos(word)))
    candidates = ([*word[:start], *replacement, *word[end:]] for start, end, replacement in typos)
    return next((letters for letters in candidates if clusters("".join(letters)) == letters), word)


def _possible_typos(word: list[str]) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the possible typos: start and end of the affected letters, and their replacement."""
    for index, letter in enumerate(word[1:], start=1):
        yield index, index + 1, []
        yield index, index + 1, [letter, letter]
        if index + 1 < len(word) and word[index + 1] != letter:
            yield index, index + 2, [word[index + 1], letter]


def in_other_case(sentence: str) -> str | None:
    """Convert to upper case, or to lower case if all is upper case; None if most letters have no case."""
    letters = [character for character in sentence if character.isalpha()]
    if 2 * sum(character.lower() != character.upper() for character in letters) < max(len(letters), 1):
        return None
    changed = sentence.upper()
    return changed if changed != sentence else sentence.lower()


_NUMBER = re.compile(r"\d+(?:[.,:\u066b\u066c]\d+)*")  # 1,200, 3.5 and 10:30 are one each
_YEAR = re.compile(r"[12]\d{3}")


def with_other_numbers(sentence: str) -> str | None:
    """Change one digit of every number, within its script; return None without a digit.

    A number does not start with 0 unless it did before; a year stays in its century.
    """
    chance = Chance("numbers", sentence)
    changed = _NUMBER.sub(lambda match: _with_other_digit(match[0], chance), sentence)
    return changed if changed != sentence else None


def _with_other_digit(number: str, chance: Chance) -> str:
    values = [int(character) if character.isdecimal() else None for character in number]
    indices = [index for index, value in enumerate(values) if value is not None]
    index = chance.pick(indices[2:] if _YEAR.fullmatch("".join(map(str, values))) else indices)
    old = unicodedata.decimal(number[index])
    new = chance.pick([value for value in range(10) if value != old and (value > 0 or index > 0)])
    return number[:index] + chr(ord(number[index]) - old + new) + number[index + 1 :]


_FEWEST_WORDS = 3
_WORDS_PER_DROP = 10


def with_dropped_words(sentence: str) -> str | None:
    """Drop one word in ten, at least one, but no number and no negation.

    Words are dropped from the shortest third, which contains the articles and particles. Returns None for fewer than
    three words and if no word can be dropped.
    """
    split = Words.of(sentence)
    if len(split.words) < _FEWEST_WORDS:
        return None
    indices = sorted(
        (index for index in range(len(split.words)) if _can_be_dropped(split, index)),
        key=lambda index: len(split.words[index]),
    )
    if not indices:
        return None
    longest = len(split.words[indices[(len(indices) - 1) // 3]])
    indices = [index for index in indices if len(split.words[index]) <= longest]
    num_dropped = max(1, len(split.words) // _WORDS_PER_DROP)
    words, gaps = list(split.words), list(split.gaps)
    for index in sorted(Chance("dropped_words", sentence).shuffled(indices)[:num_dropped], reverse=True):
        gaps[index : index + 2] = [_remaining_gap(index, *gaps[index : index + 2])]
        del words[index]
    return Words(tuple(words), tuple(gaps)).sentence()


def _can_be_dropped(split: Words, index: int) -> bool:
    word = split.words[index]
    between_signs = split.gaps[index].strip() and split.gaps[index + 1].strip()
    return not between_signs and not is_negation(word) and not any(map(str.isdecimal, word))


def _remaining_gap(index: int, before: str, after: str) -> str:
    """Return which of the gaps beside a dropped word stays: the one with punctuation, not the blank."""
    return before if index == 0 or before.strip() else after


_WORDS_PER_SWAP = 10
_SHUFFLES = 8  # enough that a word moves if any can


def with_swapped_words(sentence: str) -> str | None:
    """Swap two neighbouring words, in a long sentence two for every ten words, never across punctuation.

    Returns None for fewer than three words and without neighbours that differ.
    """
    split = Words.of(sentence)
    if len(split.words) < _FEWEST_WORDS:
        return None
    words = list(split.words)
    indices = [
        index
        for index in range(len(words) - 1)
        if words[index] != words[index + 1] and not split.gaps[index + 1].strip()
    ]
    moved: set[int] = set()
    for index in Chance("swapped_words", sentence).shuffled(indices):
        if len(moved) < 2 * max(1, len(words) // _WORDS_PER_SWAP) and not moved & {index, index + 1}:
            words[index], words[index + 1] = words[index + 1], words[index]
            moved |= {index, index + 1}
    return Words(tuple(words), split.gaps).sentence() if moved else None


def scrambled(sentence: str) -> str | None:
    """Shuffle all words; of several orders, take the one that leaves the fewest in place. Punctuation stays in place.

    Returns None for fewer than three words and if all words are equal.
    """
    split = Words.of(sentence)
    if len(split.words) < _FEWEST_WORDS:
        return None
    chance = Chance("scrambled", sentence)
    orders = [tuple(chance.shuffled(split.words)) for _ in range(_SHUFFLES)]
    words = min(orders, key=lambda order: sum(map(str.__eq__, order, split.words)))
    return Words(words, split.gaps).sentence() if words != split.words else None


_FULL_STOPS = {
    **dict.fromkeys(("Bengali", "Gurmukhi", "Oriya"), "।"),
    **dict.fromkeys(("Han", "Hiragana", "Katakana"), "。"),
    **{"Armenian": "\u0589", "Ethiopic": "።", "Khmer": "។", "Myanmar": "။", "Tibetan": "།"},
    **dict.fromkeys(("Thai", "Lao"), None),
}
"""Full stops of scripts that do not use a period; None for scripts without a full stop."""

_URDU = frozenset("ٹڈڑےہںھ")


def with_other_punctuation(sentence: str) -> str | None:
    """Remove punctuation at the ends of words; add a full stop in its script to a sentence without any.

    Punctuation inside a word (don't, 3.5) stays. Returns None without a word and if the script has no full stop to add.
    """
    split = Words.of(sentence)
    if not split.words:
        return None
    changed = str(Words(split.words, tuple(map(_without_signs, split.gaps)))).strip()
    if changed != sentence.strip():
        return changed
    stop = _full_stop(sentence)
    return None if stop is None else changed + stop


def _without_signs(gap: str) -> str:
    """Replace punctuation with one blank, so that two words do not become one."""
    return " " if any(map(is_punctuation, gap)) else gap


def _full_stop(sentence: str) -> str | None:
    script = script_of([sentence])
    if script == "Devanagari":
        return "।" if language_of([sentence]) == "hi" else "."
    if script == "Arabic":
        return "\u06d4" if _URDU.intersection(sentence) else "."
    return _FULL_STOPS.get(script, ".")
