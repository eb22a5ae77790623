"""Splitting sentences into words and gaps, and words into letters (grapheme clusters)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from collections.abc import Iterator

_VIRAMAS = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0c4d\u0ccd\u0d4d\u0dca\u1039\u17d2"
"""Signs that join two consonants into one letter. Tamil's dot is not included: it only removes a vowel."""

_BEFORE_ITS_LETTER = "\u0e40-\u0e44\u0ec0-\u0ec4"
"""Vowels that Thai and Lao write before the consonant."""

# Unicode's clusters join consonants in some scripts only, and leave some tones of Burmese alone.
_CLUSTER = regex.compile(rf"(?:\X(?:(?<=[{_VIRAMAS}]\u200d?)|(?<=[{_BEFORE_ITS_LETTER}]))(?=\p{{L}}))*\X\p{{M}}*")


def clusters(text: str) -> list[str]:
    """Split a text into grapheme clusters, what a reader takes for a letter; joined, they are the text."""
    return list(text) if text.isascii() else _CLUSTER.findall(text)


_SPACELESS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts without blanks between words: Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese."""

_TOKEN = re.compile(r"\S+")
_RUN = re.compile(rf"((?:(?!\d)[{_SPACELESS}])+)|(?:\d|[^{_SPACELESS}])+")
_HAS_SPACELESS = re.compile(f"[{_SPACELESS}]")
_PART_OF_A_WORD = frozenset("%\u2030#@&")
_LIKE_PUNCTUATION = frozenset("|`\u00b4")
_BEFORE_A_NUMBER = frozenset("-\u2212\u2013.")  # a minus, long or short, or the point of .5


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a sentence and the gaps around them, so that words can move while blanks and punctuation stay.

    A word is the text between blanks, without punctuation at its ends. In scripts without blanks it is one letter
    (grapheme cluster) or a number.

    Attributes:
        words: The words.
        gaps: The text before the first word, between the words and after the last one; one more than words.
    """

    words: tuple[str, ...]
    gaps: tuple[str, ...]

    @classmethod
    def of(cls, sentence: str) -> Words:
        """Split a sentence."""
        words, gaps, end = [], [], 0
        for start, stop in _places(sentence):
            gaps.append(sentence[end:start])
            words.append(sentence[start:stop])
            end = stop
        return cls(tuple(words), (*gaps, sentence[end:]))

    def __str__(self) -> str:
        """Join words and gaps to a sentence."""
        return self.gaps[0] + "".join(word + gap for word, gap in zip(self.words, self.gaps[1:], strict=True))

    def sentence(self) -> str | None:
        """Return the sentence, or None if it splits into other words: two without a blank between them may merge."""
        text = str(self)
        return text if Words.of(text).words == self.words else None


def word_set(text: str) -> frozenset[str]:
    """Return the words of a space-separated text as a set."""
    return frozenset(text.split())


@cache
def is_punctuation(character: str) -> bool:
    """Return whether a character is punctuation between words."""
    return (
        unicodedata.category(character)[0] == "P" and character not in _PART_OF_A_WORD
    ) or character in _LIKE_PUNCTUATION


def _places(sentence: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each word."""
    for token in _TOKEN.finditer(sentence):
        if token[0].isascii() or not _HAS_SPACELESS.search(token[0]):
            yield from _without_punctuation(sentence, *token.span())
            continue
        for run in _RUN.finditer(sentence, *token.span()):
            if run[1]:
                yield from _letters(run[0], run.start())
            else:
                yield from _without_punctuation(sentence, *run.span())


def _letters(run: str, start: int) -> Iterator[tuple[int, int]]:
    for cluster in clusters(run):
        if not is_punctuation(cluster[0]):
            yield start, start + len(cluster)
        start += len(cluster)


def _without_punctuation(sentence: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the word without punctuation at its ends, if anything is left."""
    while end > start and is_punctuation(sentence[end - 1]):
        end -= 1
    while start < end and is_punctuation(sentence[start]):
        if sentence[start] in _BEFORE_A_NUMBER and sentence[start + 1].isdecimal():
            break
        start += 1
    if start < end:
        yield start, end
