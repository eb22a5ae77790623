"""Splits without a text in two parts: of an STS file into train, dev and test, and of labelled texts into folds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING

from sbert_prune.data.normalise import normalised
from sbert_prune.data.rows import RowSet, StsRow
from sbert_prune.errors import DataError
from sbert_prune.recipe.values import DEFAULT_SHARES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SPLITS = ("train", "dev", "test")
_MIN_ROWS = 30
_MIN_ROWS_PER_SPLIT = 3


def split_rows(rows: RowSet[StsRow], shares: tuple[float, float, float] = DEFAULT_SHARES) -> dict[str, RowSet[StsRow]]:
    """Return train, dev and test, each in the file's order; the split does not depend on the order of the rows.

    Raises:
        DataError: There are fewer than 30 rows, or rows that share sentences leave a split less than half filled.
    """
    percentages = "/".join(f"{100 * share:g}" for share in shares)
    if len(rows) < _MIN_ROWS:
        raise DataError(
            f"{rows.source} has {len(rows)} rows, too few to split {percentages}; give at least {_MIN_ROWS}, or a "
            "folder of splits."
        )
    if min(shares) * len(rows) < _MIN_ROWS_PER_SPLIT:
        raise DataError(
            f"{rows.source} has {len(rows)} rows, and split {percentages} one split gets {min(shares) * len(rows):.1f} "
            f"of them; each needs {_MIN_ROWS_PER_SPLIT} or more. Give larger shares, or a folder of splits."
        )
    share_of = dict(zip(_SPLITS, shares, strict=True))
    remaining = {split: share * len(rows) for split, share in share_of.items()}
    indices: dict[str, list[int]] = {split: [] for split in _SPLITS}
    for group in _groups(rows.rows):
        split = _least_filled(remaining, share_of, len(group))
        remaining[split] -= len(group)
        indices[split] += group
    _check_filled({split: len(members) for split, members in indices.items()}, share_of, rows)
    notes = (*rows.notes, f"split {percentages} by sentence")
    in_memory = list(rows.rows)
    parts = {
        split: replace(rows, rows=tuple(in_memory[index] for index in sorted(indices[split])), notes=notes)
        for split in _SPLITS
    }
    # Skipped rows are reported once, with train.
    return parts | {split: replace(parts[split], skipped=(), num_skipped=0) for split in ("dev", "test")}


def _least_filled(remaining: dict[str, float], share_of: dict[str, float], size: int) -> str:
    """Return the least filled split that a group of this size fits into; train if there is none."""
    candidates = [split for split in remaining if remaining[split] >= size]
    return max(candidates, key=lambda split: remaining[split] / share_of[split], default="train")


def _groups(rows: Sequence[StsRow]) -> list[list[int]]:
    """Return groups of rows that share sentences, directly or through other rows; the largest first, then by hash."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = [(normalised(row.sentence1), normalised(row.sentence2)) for row in rows]
    numbers = {sentence: number for number, sentence in enumerate(dict.fromkeys(chain.from_iterable(pairs)))}
    ends = np.array([[numbers[sentence] for sentence in pair] for pair in pairs])
    graph = coo_array((np.ones(len(pairs)), ends.T), shape=(len(numbers), len(numbers)))
    members: dict[int, list[int]] = {}
    for index, group in enumerate(connected_components(graph, directed=False)[1][ends[:, 0]].tolist()):
        members.setdefault(group, []).append(index)
    return sorted(members.values(), key=lambda group: (-len(group), _hash(pairs[index] for index in group)))


def _hash(pairs: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256("\n".join(sorted({sentence for pair in pairs for sentence in pair})).encode()).hexdigest()


def _check_filled(sizes: dict[str, int], share_of: dict[str, float], rows: RowSet[StsRow]) -> None:
    for split, share in share_of.items():
        if sizes[split] < share * len(rows) / 2:
            raise DataError(
                f"{rows.source} cannot be split: its rows share so many sentences that {split} would get "
                f"{sizes[split]} of {len(rows)}. Give a folder with train, dev and test."
            )


def text_keys(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return a pseudo-random number for each text, equal if texts differ in case or blanks only. *Shape:* (texts,)"""
    import numpy as np

    digests = b"".join(blake2b(normalised(text).encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8")


def deal(keys: NDArray[np.uint64], labels: NDArray[np.int64], num_parts: int) -> NDArray[np.int64]:
    """Return the part of each row, from 0: stratified by class, with rows of the same text in the same part.

    The sizes of the parts, and of each class in them, differ by one text at most. The names of the classes do not
    matter.

    Args:
        keys: The keys of the rows' texts, as `text_keys` gives them. *Shape:* (rows,)
        labels: The classes as numbers. *Shape:* (rows,)
        num_parts: The number of parts.

    Returns:
        *Shape:* (rows,)
    """
    import numpy as np

    labels = _by_lowest_key(keys, labels)
    order = np.lexsort((labels, keys))
    _, first, group = np.unique(keys[order], return_index=True, return_inverse=True)
    by_class = np.lexsort((keys[order][first], labels[order][first]))
    part = np.empty(len(first), dtype=np.int64)
    part[by_class] = np.arange(len(first)) % num_parts
    part_of_row = np.empty(len(keys), dtype=np.int64)
    part_of_row[order] = part[group]
    return part_of_row


def _by_lowest_key(keys: NDArray[np.uint64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return other numbers for the same classes, which do not depend on the classes' names."""
    import numpy as np

    classes, number = np.unique(labels, return_inverse=True)
    lowest = np.full(len(classes), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(lowest, number, keys)
    numbers: NDArray[np.int64] = np.argsort(np.argsort(lowest, kind="stable"))[number]
    return numbers


def deal_rows(texts: Iterable[str], labels: Sequence[str], num_parts: int) -> NDArray[np.int64]:
    """Return the part of each row, as `deal` does, for texts and the names of their classes."""
    import numpy as np

    return deal(text_keys(texts), np.unique(np.asarray(labels, dtype=object), return_inverse=True)[1], num_parts)
