"""Rows dealt evenly into parts, class by class, the same whatever their order; rows of one text stay together."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.data.normalise import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


def text_keys(texts: Iterable[str]) -> NDArray[np.uint64]:
    """A number for each text that looks drawn at random, the same for texts that differ in case or blanks only. *Shape:* (texts,)"""
    digests = b"".join(blake2b(normalised(text).encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8")


def deal(keys: NDArray[np.uint64], labels: NDArray[np.int64], num_parts: int) -> NDArray[np.int64]:
    """The part of each row, from 0. Parts, and the rows of a class in them, differ by one text at most.

    The names of the classes do not count.

    labels: the classes' numbers.  *Shapes:* (rows,) twice -> (rows,)
    """
    labels = _by_lowest_key(keys, labels)
    order = np.lexsort((labels, keys))
    _, first, group = np.unique(keys[order], return_index=True, return_inverse=True)
    by_class = np.lexsort((keys[order][first], labels[order][first]))
    part = np.empty(len(first), dtype=np.int64)
    part[by_class] = np.arange(len(first)) % num_parts
    found = np.empty(len(keys), dtype=np.int64)
    found[order] = part[group]
    return found


def _by_lowest_key(keys: NDArray[np.uint64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Other numbers for the same classes, which do not depend on the classes' names."""
    classes, number = np.unique(labels, return_inverse=True)
    lowest = np.full(len(classes), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(lowest, number, keys)
    found: NDArray[np.int64] = np.argsort(np.argsort(lowest, kind="stable"))[number]
    return found


def deal_rows(texts: Iterable[str], labels: Sequence[str], num_parts: int) -> NDArray[np.int64]:
    """The same from texts and the names of their classes."""
    return deal(text_keys(texts), np.unique(np.asarray(labels, dtype=object), return_inverse=True)[1], num_parts)
