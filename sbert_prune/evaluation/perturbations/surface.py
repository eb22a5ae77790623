"""Slips of a typist: a letter left out, doubled, or before its neighbour."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from sbert_prune.evaluation.perturbations.chance import Chance
from sbert_prune.evaluation.perturbations.language import language_of, script_of
from sbert_prune.evaluation.perturbations.negation import is_negation
from sbert_prune.evaluation.perturbations.words import Words, clusters, is_punctuation

if TYPE_CHECKING:
    from collections.abc import Iterator

_FEWEST_LETTERS = 3  # of a word: in a shorter one nobody knows what was meant
_LETTERS_PER_TYPO = 25  # some five words of English


def with_typos(sentence: str) -> str | None:
    """One slip for every 25 letters, each in another word and never in its first letter. None without a word of three letters."""
    letters, chance = clusters(sentence), Chance("typos", sentence)
    words = _words(letters)
    num_typos = max(1, sum(end - start for start, end in words) // _LETTERS_PER_TYPO)
    for start, end in sorted(
        chance.shuffled(words)[:num_typos], reverse=True
    ):  # from the end, so that places before it hold
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


def in_other_case(sentence: str) -> str | None:
    """In capitals; small where all are capitals already. None where less than half of the letters have a case at all."""
    letters = [character for character in sentence if character.isalpha()]
    if 2 * sum(character.lower() != character.upper() for character in letters) < max(len(letters), 1):
        return None
    changed = sentence.upper()
    return changed if changed != sentence else sentence.lower()


_NUMBER = re.compile(r"\d+(?:[.,:\u066b\u066c]\d+)*")  # 1,200, 3.5 and 10:30 are one each
_YEAR = re.compile(r"[12]\d{3}")


def with_other_numbers(sentence: str) -> str | None:
    """One digit of every number becomes another one of the same script. None without a digit.

    A number does not begin with 0 unless it did so before; a year stays in its century.
    """
    chance = Chance("numbers", sentence)
    changed = _NUMBER.sub(lambda match: _other(match[0], chance), sentence)
    return changed if changed != sentence else None


def _other(number: str, chance: Chance) -> str:
    values = [int(character) if character.isdecimal() else None for character in number]
    places = [place for place, value in enumerate(values) if value is not None]
    place = chance.pick(places[2:] if _YEAR.fullmatch("".join(map(str, values))) else places)
    old = unicodedata.decimal(number[place])
    new = chance.pick([value for value in range(10) if value != old and (value > 0 or place > 0)])
    return number[:place] + chr(ord(number[place]) - old + new) + number[place + 1 :]


_FEWEST_WORDS = 3
_WORDS_PER_DROP = 10


def with_dropped_words(sentence: str) -> str | None:
    """One word in ten is left out, at least one: of the shortest third, where articles and particles are; no number, and no "not".

    None for fewer than three words, and where none can go.
    """
    split = Words.of(sentence)
    if len(split.words) < _FEWEST_WORDS:
        return None
    places = sorted(
        (place for place in range(len(split.words)) if _may_go(split, place)), key=lambda place: len(split.words[place])
    )
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
    places = [
        place
        for place in range(len(words) - 1)
        if words[place] != words[place + 1] and not split.gaps[place + 1].strip()
    ]
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


_FULL_STOPS = {
    **dict.fromkeys(("BENGALI", "GURMUKHI", "ORIYA"), "।"),
    **dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA"), "。"),
    **{"ARMENIAN": "\u0589", "ETHIOPIC": "።", "KHMER": "។", "MYANMAR": "။", "TIBETAN": "།"},
    **dict.fromkeys(("THAI", "LAO"), None),
}
"""Where it is not a point; None where there is none."""

_URDU = frozenset("ٹڈڑےہںھ")


def with_other_punctuation(sentence: str) -> str | None:
    """All signs at the ends of words go; a sentence without any gets a full stop in its own script.

    Signs inside a word (don't, 3.5) stay. None without a word, and where the script has no full stop to add.
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
    """One blank in place of a sign, so that no two words become one."""
    return " " if any(map(is_punctuation, gap)) else gap


def _full_stop(sentence: str) -> str | None:
    script = script_of([sentence])
    if script == "DEVANAGARI":
        return "।" if language_of([sentence]) == "hi" else "."
    if script == "ARABIC":
        return "\u06d4" if _URDU.intersection(sentence) else "."
    return _FULL_STOPS.get(script, ".")
