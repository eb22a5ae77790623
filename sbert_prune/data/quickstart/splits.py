"""Which split a sentence belongs to, and which words train never shows.

Two walls stand between the splits. A sentence's split follows from a digest of its letters, so no sentence can stand in two splits,
whatever the sizes and seeds. And a part of the lexicon is reserved for dev and test: who knows those words knows them from pre-training.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Literal, get_args
from zlib import crc32

from sbert_prune.errors import DataError

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

RESERVED_WORDS = 0.30
"""The share of the words that only dev and test show: a concept with a reserved and a common word is a synonym pair unseen in training."""
RESERVED_CONCEPTS = 0.12
"""The share of the concepts whose words are all reserved."""

# Twelfths of all sentences; train's is the largest since it has the most rows to fill.
_TWELFTHS: tuple[Split, ...] = ("train",) * 5 + ("dev",) * 3 + ("test",) * 4
_LETTERS = str.maketrans("", "", ".,'-")


def parse_split(text: str) -> Split:
    """Raises DataError for a split that is not generated."""
    for split in SPLITS:
        if text == split:
            return split
    raise DataError(f"There is no split {text!r}. The splits are {', '.join(SPLITS)}.")


def normalise(sentence: str) -> str:
    """What two sentences must share to count as the same one: the words, without case or punctuation."""
    return sentence.lower().translate(_LETTERS)


def split_of(sentence: str) -> Split:
    """The one split where the sentence may stand."""
    return _TWELFTHS[crc32(normalise(sentence).encode()) % len(_TWELFTHS)]


def _fraction(text: str) -> float:
    # A digest, since hash() differs from process to process.
    return crc32(text.encode()) / 2**32


def is_reserved_word(word: str) -> bool:
    """Whether train never shows the word."""
    return _fraction(f"word {word}") < RESERVED_WORDS


def is_reserved_concept(name: str) -> bool:
    """Whether train shows none of the words of the concept."""
    return _fraction(f"concept {name}") < RESERVED_CONCEPTS


def find_leaks(sentences: Mapping[str, Iterable[str]]) -> set[str]:
    """The normalised sentences that stand in more than one split."""
    seen = [{normalise(sentence) for sentence in split} for split in sentences.values()]
    return set().union(*(left & right for left, right in combinations(seen, 2)))
