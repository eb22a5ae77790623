"""One STS file split 80/10/10, so that no sentence stands on two sides."""

import hashlib
from collections.abc import Iterable, Sequence

from sbert_prune.errors import DataError
from sbert_prune.rows import StsRow

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}

_FEWEST_ROWS = 30


def split_rows(rows: Sequence[StsRow], name: str) -> dict[str, tuple[StsRow, ...]]:
    """The rows of train, dev and test, each in the file's order; the same rows are split the same way whatever their order.

    Raises DataError for fewer than 30 rows, or when rows that share sentences leave dev or test less than half filled.
    """
    if len(rows) < _FEWEST_ROWS:
        raise DataError(
            f"{name} has {len(rows)} rows, too few to split 80/10/10; give at least {_FEWEST_ROWS}, or a folder with train, dev and test."
        )
    room = {split: share * len(rows) for split, share in SHARES.items()}
    split_of: dict[int, str] = {}
    for group in _groups(rows):
        split = _roomiest(room, len(group))
        room[split] -= len(group)
        split_of.update(dict.fromkeys(group, split))
    result = {split: tuple(row for index, row in enumerate(rows) if split_of[index] == split) for split in SHARES}
    _check_filled(result, len(rows), name)
    return result


def normalised(sentence: str) -> str:
    """What makes two sentences the same: upper and lower case and white space do not count."""
    return " ".join(sentence.casefold().split())


def num_shared_pairs(left: Sequence[StsRow], right: Sequence[StsRow]) -> int:
    """How many rows on the left stand on the right too, with their sentences in either order."""
    known = {_pair(row) for row in right}
    return sum(_pair(row) in known for row in left)


def _pair(row: StsRow) -> frozenset[str]:
    return frozenset((normalised(row.sentence1), normalised(row.sentence2)))


def _roomiest(room: dict[str, float], size: int) -> str:
    """The split that is least filled and can take a group of this size; train when none can."""
    able = [split for split in SHARES if room[split] >= size]
    return max(able, key=lambda split: room[split] / SHARES[split], default="train")


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


def _check_filled(result: dict[str, tuple[StsRow, ...]], total: int, name: str) -> None:
    for split, share in SHARES.items():
        if len(result[split]) < share * total / 2:
            raise DataError(
                f"{name} cannot be split: its rows share so many sentences that {split} would get {len(result[split])} of {total} rows. "
                "Give a folder with train, dev and test."
            )
