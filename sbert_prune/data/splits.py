"""One STS file split into train, dev and test, so that no sentence stands on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.data.normalise import normalised
from sbert_prune.data.rows import RowSet, StsRow
from sbert_prune.errors import DataError
from sbert_prune.recipe.values import DEFAULT_SHARES

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPLITS = ("train", "dev", "test")

_FEWEST_ROWS = 30
_FEWEST_OF_A_SPLIT = 3


def split_rows(rows: RowSet[StsRow], shares: tuple[float, float, float] = DEFAULT_SHARES) -> dict[str, RowSet[StsRow]]:
    """Train, dev and test, each in the file's order; the same rows are split the same way whatever their order.

    Raises DataError for fewer than 30 rows, or when rows that share sentences leave a split less than half filled.
    """
    told = "/".join(f"{100 * share:g}" for share in shares)
    if len(rows) < _FEWEST_ROWS:
        raise DataError(
            f"{rows.source} has {len(rows)} rows, too few to split {told}; give at least {_FEWEST_ROWS}, or a folder of splits."
        )
    if min(shares) * len(rows) < _FEWEST_OF_A_SPLIT:
        raise DataError(
            f"{rows.source} has {len(rows)} rows, and split {told} one split gets {min(shares) * len(rows):.1f} of them; each needs "
            f"{_FEWEST_OF_A_SPLIT} or more. Give larger shares, or a folder of splits."
        )
    share_of = dict(zip(_SPLITS, shares, strict=True))
    room = {split: share * len(rows) for split, share in share_of.items()}
    places: dict[str, list[int]] = {split: [] for split in _SPLITS}
    for group in _groups(rows.rows):
        split = _roomiest(room, share_of, len(group))
        room[split] -= len(group)
        places[split] += group
    _check_filled({split: len(found) for split, found in places.items()}, share_of, rows)
    notes = (*rows.notes, f"split {told} by sentence")
    listed = list(rows.rows)
    parts = {split: replace(rows, rows=tuple(listed[place] for place in sorted(places[split])), notes=notes) for split in _SPLITS}
    untold = {split: replace(parts[split], skipped=(), num_skipped=0) for split in ("dev", "test")}  # told once, with train
    return parts | untold


def _roomiest(room: dict[str, float], share_of: dict[str, float], size: int) -> str:
    """The split that is least filled and can take a group of this size; train when none can."""
    able = [split for split in room if room[split] >= size]
    return max(able, key=lambda split: room[split] / share_of[split], default="train")


def _groups(rows: Sequence[StsRow]) -> list[list[int]]:
    """Indices of rows that share sentences, directly or by way of others; the largest first, then by a hash of their sentences."""
    parents: dict[str, str] = {}
    pairs = [(normalised(row.sentence1), normalised(row.sentence2)) for row in rows]
    for first, second in pairs:
        parents[_root(parents, first)] = _root(parents, second)
    members: dict[str, list[int]] = {}
    for index, (first, _) in enumerate(pairs):
        members.setdefault(_root(parents, first), []).append(index)
    return sorted(members.values(), key=lambda group: (-len(group), _hash(pairs[index] for index in group)))


def _root(parents: dict[str, str], sentence: str) -> str:
    """The sentence that stands for its group; halves the paths on the way."""
    parents.setdefault(sentence, sentence)
    while parents[sentence] != sentence:
        parents[sentence] = parents[parents[sentence]]
        sentence = parents[sentence]
    return sentence


def _hash(pairs: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256("\n".join(sorted({sentence for pair in pairs for sentence in pair})).encode()).hexdigest()


def _check_filled(sizes: dict[str, int], share_of: dict[str, float], rows: RowSet[StsRow]) -> None:
    for split, share in share_of.items():
        if sizes[split] < share * len(rows) / 2:
            raise DataError(
                f"{rows.source} cannot be split: its rows share so many sentences that {split} would get {sizes[split]} of {len(rows)}. "
                "Give a folder with train, dev and test."
            )


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
