"""The script of texts: Latin, Devanagari, Han."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from collections.abc import Iterable

_SCRIPTS = (
    "Latin Cyrillic Greek Arabic Hebrew Armenian Georgian Ethiopic Devanagari Bengali Gurmukhi Gujarati Oriya Tamil "
    "Telugu Kannada Malayalam Sinhala Ol_Chiki Thai Lao Tibetan Myanmar Khmer Mongolian Han Hiragana "
    "Katakana Hangul"
)
_LETTER = regex.compile("|".join(rf"(?P<{name}>\p{{Script={name}}})" for name in _SCRIPTS.split()))


def script_of(texts: Iterable[str]) -> str:
    """Return Unicode's name of the script of most letters; "" without a letter, and for a script that is not listed."""
    scripts: Counter[str] = Counter()
    for character, count in Counter("".join(texts)).items():
        if character.isalpha():
            match = _LETTER.match(character)
            scripts[match.lastgroup if match else ""] += count
    return scripts.most_common(1)[0][0].replace("_", " ") if scripts else ""
