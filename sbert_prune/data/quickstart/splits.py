"""The split of each sentence, and the words that are reserved for dev and test.

The splits are separated in two ways. A sentence's split is computed from a digest of its letters, so no sentence can be
in two splits, for all sizes and seeds. And a part of the lexicon is reserved for dev and test: a model can know those
words only from pre-training.
"""

from typing import Literal, get_args
from zlib import crc32

from sbert_prune.errors import DataError

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

RESERVED_WORDS = 0.30
"""The share of the words that are only in dev and test: a concept with a reserved and a common word gives a synonym
pair that is not in train."""
RESERVED_CONCEPTS = 0.12
"""The share of the concepts whose words are all reserved."""

# Twelfths of all sentences; train has the most, since it has the most rows.
_TWELFTHS: tuple[Split, ...] = ("train",) * 5 + ("dev",) * 3 + ("test",) * 4
_LETTERS = str.maketrans("", "", ".,'-")


def parse_split(text: str) -> Split:
    """Return the split with this name. Raises DataError for a split that is not generated."""
    for split in SPLITS:
        if text == split:
            return split
    raise DataError(f"There is no split {text!r}. The splits are {', '.join(SPLITS)}.")


def normalise(sentence: str) -> str:
    """Return a sentence without case or punctuation, as sentences are compared."""
    return sentence.lower().translate(_LETTERS)


def split_of(sentence: str) -> Split:
    """Return the split that the sentence belongs to."""
    return _TWELFTHS[crc32(normalise(sentence).encode()) % len(_TWELFTHS)]


def _fraction(text: str) -> float:
    # A digest, since hash() differs from process to process.
    return crc32(text.encode()) / 2**32


def is_reserved_word(word: str) -> bool:
    """Return whether the word is reserved for dev and test."""
    return _fraction(f"word {word}") < RESERVED_WORDS


def is_reserved_concept(name: str) -> bool:
    """Return whether the concept, with all its words, is reserved for dev and test."""
    return _fraction(f"concept {name}") < RESERVED_CONCEPTS
