"""What a reader takes for one letter: grapheme clusters, without which a vowel sign would lose its consonant.

After Unicode's UAX 29, with two differences: a virama joins consonants in Kannada, Gurmukhi and Sinhala too, and the Thai and Lao vowels
that are written in front of their consonant stay there.
"""

from __future__ import annotations

import unicodedata
from functools import cache

_VIRAMAS = frozenset("\u094d\u09cd\u0a4d\u0acd\u0b4d\u0c4d\u0ccd\u0d4d\u0dca\u1039\u17d2")
"""They join two consonants into one sign. Tamil's dot is not among them: it only silences a vowel."""

_JOINERS = frozenset("\u200c\u200d")
_WITH_THE_LETTER_BEFORE = frozenset("\u0e33\u0eb3")  # am, in Thai and in Lao
_WITH_THE_LETTER_BEHIND = frozenset("\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4")


def clusters(text: str) -> list[str]:
    """The clusters of a text, which joined are the text."""
    if text.isascii():
        return list(text)
    found: list[str] = []
    for character in text:
        if found and (_extends(character) or _takes(found[-1], character)):
            found[-1] += character
        else:
            found.append(character)
    return found


@cache
def _extends(character: str) -> bool:
    """Whether it never stands alone: marks, joiners, skin tones, and the vowels and finals of decomposed Hangul."""
    return (
        unicodedata.category(character)[0] == "M"
        or character in _JOINERS
        or character in _WITH_THE_LETTER_BEFORE
        or "\u1160" <= character <= "\u11ff"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _takes(cluster: str, character: str) -> bool:
    """Whether a cluster goes on with what is behind it."""
    last = cluster[-1]
    if last in _VIRAMAS or (last == "\u200d" and cluster[-2:-1] in _VIRAMAS):
        return character.isalpha()
    if last == "\u200d":
        return unicodedata.category(character) == "So"  # an emoji made of several
    return (last in _WITH_THE_LETTER_BEHIND and character.isalpha()) or (_is_half_a_flag(cluster) and _is_half_a_flag(character))


def _is_half_a_flag(cluster: str) -> bool:
    return "\U0001f1e6" <= cluster <= "\U0001f1ff" and len(cluster) == 1
