"""Texts of a requested length in pieces, made from real sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

OWN = "own sentences"
LARGEST_BATCH = 32
_LENGTHS = (16, 64)
_LONGEST = 512  # longer texts are too slow to be worth timing
_MOST_COUNTED = 5000
_NEAR = 1 / 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Texts of about the same length, or the data's own sentences.

    Attributes:
        name: Name of the bucket in tables.
        texts: The texts.
        pieces: Mean number of pieces per text, special pieces included, after truncation to the model's limit.
    """

    name: str
    texts: tuple[str, ...]
    pieces: float

    def spread(self, count: int) -> list[str]:
        """Return `count` of the texts, evenly spaced; texts repeat if there are too few."""
        return evenly(self.texts, count)


def own_bucket(model: SentenceTransformer, sentences: Sequence[str]) -> Bucket:
    """Return the bucket of the data's own sentences, longest first."""
    sample = evenly(sentences, min(len(sentences), _MOST_COUNTED))
    pieces = np.minimum(num_pieces(model, sample), longest(model))
    order = np.argsort(-pieces, kind="stable")
    return Bucket(OWN, tuple(sample[index] for index in order), float(pieces.mean()))


def length_buckets(model: SentenceTransformer, sentences: Sequence[str], most: int) -> list[Bucket]:
    """Return buckets of about 16, 64 and `most` pieces, shortest first; none is longer than `most`."""
    sample = evenly(sentences, min(len(sentences), _MOST_COUNTED))
    pieces = num_pieces(model, sample)
    buckets = []
    for target in sorted({min(length, most) for length in (*_LENGTHS, most)}):
        near = np.abs(np.minimum(pieces, most) - target) <= target * _NEAR
        real = [sample[index] for index in np.flatnonzero(near)]
        enough = len(set(real)) >= LARGEST_BATCH
        texts = evenly(real, LARGEST_BATCH) if enough else _joined(model, sample, pieces, target)
        mean = float(np.minimum(num_pieces(model, texts), most).mean())
        buckets.append(Bucket(f"{target} pieces", tuple(texts), mean))
    return buckets


def longest(model: SentenceTransformer) -> int:
    """Return the maximum length of timed texts in pieces: the model's limit, at most 512."""
    return min(model.max_seq_length or _LONGEST, _LONGEST)


def num_pieces(model: SentenceTransformer, texts: Sequence[str]) -> NDArray[np.int64]:
    """Count the pieces of each text, special ones included, before truncation. *Shape:* (texts,)"""
    tokenized = model.tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
    return np.array([len(pieces) for pieces in tokenized], dtype=np.int64)


def evenly(items: Sequence[_T], count: int) -> list[_T]:
    """Return `count` evenly spaced items, each from the middle of an equal share; items repeat if there are too few."""
    return [items[int((share + 0.5) * len(items) / count)] for share in range(count)]


def _joined(model: SentenceTransformer, sentences: Sequence[str], pieces: NDArray[np.int64], target: int) -> list[str]:
    """Cut a batch of texts out of the joined sentences by number of characters, which works for any tokenizer."""
    num_chars = np.array([len(sentence) + 1 for sentence in sentences])
    special = int(num_pieces(model, [""])[0])
    width = math.ceil(max(1, target - special) * num_chars.sum() / max(1, (pieces - special).sum()))
    shuffled = [sentences[index] for index in np.random.default_rng(0).permutation(len(sentences))]
    text = " ".join(shuffled * math.ceil(width * LARGEST_BATCH / num_chars.sum()))
    return [text[start : start + width].strip() for start in range(0, width * LARGEST_BATCH, width)]
