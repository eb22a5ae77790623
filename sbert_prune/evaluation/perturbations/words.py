"""A sentence as words with what stands between them, so that words can move while blanks and signs stay."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sbert_prune.evaluation.perturbations.clusters import clusters

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACELESS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese: no blanks between words."""

_TOKEN = re.compile(r"\S+")
_RUN = re.compile(rf"((?:(?!\d)[{_SPACELESS}])+)|(?:\d|[^{_SPACELESS}])+")
_HAS_SPACELESS = re.compile(f"[{_SPACELESS}]")
_PART_OF_A_WORD = frozenset("%\u2030#@&")
_LIKE_PUNCTUATION = frozenset("|`\u00b4")
_BEFORE_A_NUMBER = frozenset("-\u2212\u2013.")  # a minus, long or short, or the point of .5


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a sentence. gaps: what stands before the first, between them, and behind the last: one more than words.

    A word is what stands between blanks, without punctuation at its ends. In scripts without blanks it is one letter (grapheme cluster),
    or a number.
    """

    words: tuple[str, ...]
    gaps: tuple[str, ...]

    @classmethod
    def of(cls, sentence: str) -> Words:
        """Take a sentence apart."""
        words, gaps, end = [], [], 0
        for start, stop in _places(sentence):
            gaps.append(sentence[end:start])
            words.append(sentence[start:stop])
            end = stop
        return cls(tuple(words), (*gaps, sentence[end:]))

    def __str__(self) -> str:
        """The sentence again."""
        return self.gaps[0] + "".join(word + gap for word, gap in zip(self.words, self.gaps[1:], strict=True))

    def sentence(self) -> str | None:
        """The sentence, if its words can be told from each other in it: two that no blank divides may become one."""
        text = str(self)
        return text if Words.of(text).words == self.words else None


def word_set(text: str) -> frozenset[str]:
    """The words of a list that is written as a text."""
    return frozenset(text.split())


@cache
def is_punctuation(character: str) -> bool:
    """Whether a sign only divides or ends."""
    return (unicodedata.category(character)[0] == "P" and character not in _PART_OF_A_WORD) or character in _LIKE_PUNCTUATION


def _places(sentence: str) -> Iterator[tuple[int, int]]:
    """Start and end of each word."""
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
    """The word without the signs at its ends; nothing where there is nothing else."""
    while end > start and is_punctuation(sentence[end - 1]):
        end -= 1
    while start < end and is_punctuation(sentence[start]):
        if sentence[start] in _BEFORE_A_NUMBER and sentence[start + 1].isdecimal():
            break
        start += 1
    if start < end:
        yield start, end
