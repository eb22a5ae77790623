"""Texts of a wanted length in pieces, taken from real sentences."""

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
_LONGEST = 512  # of models that take more: what nobody waits for tells nothing
_MOST_COUNTED = 5000
_NEAR = 1 / 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Texts of about the same length, or the data's own sentences.

    pieces: their mean number of pieces, special ones counted, cut at what the model takes.
    """

    name: str
    texts: tuple[str, ...]
    pieces: float

    def spread(self, count: int) -> list[str]:
        """Some of the texts, evenly over all of them; again and again the same where there are too few."""
        return evenly(self.texts, count)


def own_bucket(model: SentenceTransformer, sentences: Sequence[str]) -> Bucket:
    """The data's own sentences, longest first."""
    some = evenly(sentences, min(len(sentences), _MOST_COUNTED))
    pieces = np.minimum(num_pieces(model, some), longest(model))
    order = np.argsort(-pieces, kind="stable")
    return Bucket(OWN, tuple(some[place] for place in order), float(pieces.mean()))


def length_buckets(model: SentenceTransformer, sentences: Sequence[str], most: int) -> list[Bucket]:
    """A bucket each of about 16 and 64 pieces and of the most that shall be taken, shortest first."""
    some = evenly(sentences, min(len(sentences), _MOST_COUNTED))
    pieces = num_pieces(model, some)
    found = []
    for wanted in sorted({min(length, most) for length in (*_LENGTHS, most)}):
        near = np.abs(np.minimum(pieces, most) - wanted) <= wanted * _NEAR
        real = [some[place] for place in np.flatnonzero(near)]
        enough = len(set(real)) >= LARGEST_BATCH
        texts = evenly(real, LARGEST_BATCH) if enough else _joined(model, some, pieces, wanted)
        mean = float(np.minimum(num_pieces(model, texts), most).mean())
        found.append(Bucket(f"{wanted} pieces", tuple(texts), mean))
    return found


def longest(model: SentenceTransformer) -> int:
    """Pieces of the longest text that is timed: what the model takes, and no more than 512."""
    return min(model.max_seq_length or _LONGEST, _LONGEST)


def num_pieces(model: SentenceTransformer, texts: Sequence[str]) -> NDArray[np.int64]:
    """Pieces of each text, special ones counted, before it is cut. *Shape:* (texts,)"""
    cut = model.tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
    return np.array([len(pieces) for pieces in cut], dtype=np.int64)


def evenly(items: Sequence[_T], count: int) -> list[_T]:
    """As many items as asked for, each from the middle of an equal share; some of them more than once where there are too few."""
    return [items[int((share + 0.5) * len(items) / count)] for share in range(count)]


def _joined(model: SentenceTransformer, sentences: Sequence[str], pieces: NDArray[np.int64], wanted: int) -> list[str]:
    """A batch of texts cut from the sentences' stream by their letters: a tokenizer of any kind then finds about the wanted pieces."""
    letters = np.array([len(sentence) + 1 for sentence in sentences])
    special = int(num_pieces(model, [""])[0])
    width = math.ceil(max(1, wanted - special) * letters.sum() / max(1, (pieces - special).sum()))
    mixed = [sentences[place] for place in np.random.default_rng(0).permutation(len(sentences))]
    text = " ".join(mixed * math.ceil(width * LARGEST_BATCH / letters.sum()))
    return [text[start : start + width].strip() for start in range(0, width * LARGEST_BATCH, width)]
