"""Leaks: train rows that share a pair or a sentence with dev or test, found in one pass over train and removed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from sbert_prune.data.normalise import normalised
from sbert_prune.data.stored import StoredRows
from sbert_prune.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sbert_prune.data.rows import Row, RowSet, StsRow

Pair = tuple[str, str]

_MAX_EXAMPLES = 3
_MAX_SHOWN_LENGTH = 60
_MAX_LEAKED_SHARE = 0.9


class SplitLeaks(NamedTuple):
    """How many train rows share a pair or a sentence with one held-out split.

    Attributes:
        exact_pairs: Rows whose pair is in the split, in either order, letter for letter.
        pairs: Rows whose pair is in the split once both are normalised; includes the exact ones.
        exact_sentences: Rows with at least one sentence that is in the split letter for letter; includes the exact
            pairs.
        sentences: The same once normalised; includes the pairs.
    """

    exact_pairs: int = 0
    pairs: int = 0
    exact_sentences: int = 0
    sentences: int = 0


@dataclass(frozen=True)
class Leaks:
    """What train shares with the held-out splits.

    Attributes:
        num_train: The number of train rows.
        splits: The counts by held-out split; a row that shares something with two of them counts in both.
        sentence_rows: The train rows (from 0, ascending, each once) with a sentence that, normalised, is in a held-out
            split. *Shape:* (rows,)
        examples: Up to three for the user, pairs before sentences.
    """

    num_train: int
    splits: Mapping[str, SplitLeaks]
    sentence_rows: NDArray[np.int64]
    examples: tuple[str, ...]

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return the counts by held-out split, as they are logged."""
        return {split: counts._asdict() for split, counts in self.splits.items()}

    def lines(self) -> list[str]:
        """Return lines for the user: one for each split that shares something, then the examples."""
        lines = [
            f"shared with {split}: {counts.pairs:,} of {self.num_train:,} train rows by their pair "
            f"({counts.exact_pairs:,} letter for letter), {counts.sentences:,} by a sentence "
            f"({counts.exact_sentences:,} letter for letter)"
            for split, counts in self.splits.items()
            if counts.sentences
        ]
        return lines + [f"  {example}" for example in self.examples]


def remove_leaks(
    train: RowSet[Row], held_out: Mapping[str, RowSet[StsRow]], *, keep: bool = False
) -> tuple[RowSet[Row], Leaks]:
    """Return the train rows without those that share a pair or a sentence with dev or test, and the leaks.

    Args:
        train: The train rows.
        held_out: Dev and test.
        keep: Report the leaks without removing them.

    Raises:
        DataError: More than nine tenths of train would be removed.
    """
    import numpy as np

    leaks = find_leaks(
        (row.sentences for row in train.rows),
        {split: (row.sentences for row in rows.rows) for split, rows in held_out.items()},
    )
    num_left_out = len(leaks.sentence_rows)
    if keep or not num_left_out:
        return train, leaks
    if num_left_out > _MAX_LEAKED_SHARE * len(train):
        raise DataError(
            f"{train.source}: {num_left_out:,} of its {len(train):,} train rows share a sentence with dev or test, so "
            "little would be left to train on. Give disjoint splits, or keep_leaks=true to train on them anyway."
        )
    is_clean = np.ones(len(train), dtype=bool)
    is_clean[leaks.sentence_rows] = False
    rows: StoredRows[Row] = StoredRows(type(train.rows[0]), compress(train.rows, is_clean))
    return replace(train, rows=rows, num_leaks=num_left_out), leaks


def find_leaks(train: Iterable[Pair], held_out: Mapping[str, Iterable[Pair]]) -> Leaks:
    """Compare every train row with every held-out split.

    Train is read once and not stored; the sentences of the held-out splits stay in memory.
    """
    import numpy as np

    indexes = {split: _SplitIndex(pairs) for split, pairs in held_out.items()}
    held_out_forms = frozenset(form for index in indexes.values() for form in index.forms)
    counts = dict.fromkeys(indexes, SplitLeaks())
    sentence_rows = array("q")
    pair_examples: list[str] = []
    sentence_examples: list[str] = []
    num_train = 0
    for num_train, pair in enumerate(train, start=1):
        forms = _forms(pair)
        if held_out_forms.isdisjoint(forms):
            continue
        leaks = {split: shared for split, index in indexes.items() if (shared := index.shared(pair, forms)).sentences}
        counts |= {split: _sum(counts[split], shared) for split, shared in leaks.items()}
        by_pair = [split for split, shared in leaks.items() if shared.pairs]
        sentence_rows.append(num_train - 1)
        examples = pair_examples if by_pair else sentence_examples
        if len(examples) < _MAX_EXAMPLES:
            texts = [text for text, form in zip(pair, forms, strict=True) if form in held_out_forms]
            examples.append(_example(num_train, by_pair or list(leaks), texts))
    examples = (pair_examples + sentence_examples)[:_MAX_EXAMPLES]
    return Leaks(num_train, counts, np.array(sentence_rows, np.int64), tuple(examples))


class _SplitIndex:
    """The sentences and pairs of one held-out split, unchanged and normalised."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.sentences: set[str] = set()
        self.forms: set[str] = set()
        self._pairs: set[Pair] = set()
        self._form_pairs: set[Pair] = set()
        for pair in pairs:
            forms = _forms(pair)
            self.sentences.update(pair)
            self.forms.update(forms)
            self._pairs.add(_unordered(pair))
            self._form_pairs.add(_unordered(forms))

    def shared(self, pair: Pair, forms: Pair) -> SplitLeaks:
        """Return what one train row shares with the split, each count 0 or 1."""
        return SplitLeaks(
            exact_pairs=int(_unordered(pair) in self._pairs),
            pairs=int(_unordered(forms) in self._form_pairs),
            exact_sentences=int(not self.sentences.isdisjoint(pair)),
            sentences=int(not self.forms.isdisjoint(forms)),
        )


def _forms(pair: Pair) -> Pair:
    return (normalised(pair[0]), normalised(pair[1]))


def _unordered(pair: Pair) -> Pair:
    return (min(pair), max(pair))


def _sum(left: SplitLeaks, right: SplitLeaks) -> SplitLeaks:
    return SplitLeaks(*map(sum, zip(left, right, strict=True)))


def _example(row: int, splits: Sequence[str], texts: Iterable[str]) -> str:
    shown = " / ".join(
        repr(text if len(text) <= _MAX_SHOWN_LENGTH else text[: _MAX_SHOWN_LENGTH - 3] + "...") for text in texts
    )
    return f"row {row:,} of train, also in {' and '.join(splits)}: {shown}"
