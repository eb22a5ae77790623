"""Which train rows hold a pair or a sentence that dev or test holds too, found in one pass over train."""

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

Pair = tuple[str, str]

_MOST_EXAMPLES = 3
_LONGEST_SHOWN = 60


class SplitLeaks(NamedTuple):
    """How many train rows share something with one held-out split.

    exact_pairs: rows whose two sentences stand there together, letter for letter, in either order.  pairs: the same once normalised,
    the exact ones among them.  exact_sentences, sentences: rows of which at least one sentence stands there, the pairs among them.
    """

    exact_pairs: int = 0
    pairs: int = 0
    exact_sentences: int = 0
    sentences: int = 0


@dataclass(frozen=True)
class Leaks:
    """What train shares with the held-out splits.

    splits: the counts by held-out split; a row that shares something with two of them counts in both.
    pair_rows, sentence_rows: the train rows (from 0, ascending, each once) without which no pair, or no sentence, stands on two sides
    once normalised. *Shapes:* (rows,); the pair rows are among the sentence rows.
    examples: up to three for people, pairs before sentences.
    """

    num_train: int
    splits: Mapping[str, SplitLeaks]
    pair_rows: NDArray[np.int64]
    sentence_rows: NDArray[np.int64]
    examples: tuple[str, ...]

    def as_dict(self) -> dict[str, dict[str, int]]:
        """The counts by held-out split, for the record."""
        return {split: found._asdict() for split, found in self.splits.items()}

    def lines(self) -> list[str]:
        """Lines for people: one a split that shares something, then the examples; none where nothing is shared."""
        lines = [
            f"shared with {split}: {found.pairs:,} of {self.num_train:,} train rows by their pair ({found.exact_pairs:,} letter for "
            f"letter), {found.sentences:,} by a sentence ({found.exact_sentences:,} letter for letter)"
            for split, found in self.splits.items()
            if found.sentences
        ]
        return lines + [f"  {example}" for example in self.examples]


def find_leaks(train: Iterable[Pair], held_out: Mapping[str, Iterable[Pair]]) -> Leaks:
    """Compare every train row with every held-out split.

    Train is read once and not kept; the sentences of the held-out splits are.
    """
    import numpy as np

    sides = {split: _Side(pairs) for split, pairs in held_out.items()}
    known = frozenset(form for side in sides.values() for form in side.forms)
    counts = dict.fromkeys(sides, SplitLeaks())
    pair_rows, sentence_rows = array("q"), array("q")
    of_pairs: list[str] = []
    of_sentences: list[str] = []
    num_train = 0
    for num_train, pair in enumerate(train, start=1):
        forms = _forms(pair)
        if known.isdisjoint(forms):
            continue
        found = {split: shared for split, side in sides.items() if (shared := side.shared(pair, forms)).sentences}
        counts |= {split: _sum(counts[split], shared) for split, shared in found.items()}
        by_pair = [split for split, shared in found.items() if shared.pairs]
        sentence_rows.append(num_train - 1)
        if by_pair:
            pair_rows.append(num_train - 1)
        examples = of_pairs if by_pair else of_sentences
        if len(examples) < _MOST_EXAMPLES:
            texts = [text for text, form in zip(pair, forms, strict=True) if form in known]
            examples.append(_example(num_train, by_pair or list(found), texts))
    examples = (of_pairs + of_sentences)[:_MOST_EXAMPLES]
    return Leaks(num_train, counts, np.array(pair_rows, np.int64), np.array(sentence_rows, np.int64), tuple(examples))


class _Side:
    """The sentences and pairs of one held-out split, as they stand and normalised."""

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
        """What one train row shares with this side, each count 0 or 1."""
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
    shown = " / ".join(repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "...") for text in texts)
    return f"row {row:,} of train, also in {' and '.join(splits)}: {shown}"


_TOO_MANY = 0.9

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sbert_prune.data.rows import Row, RowSet, StsRow


def remove_leaks(train: RowSet[Row], held_out: Mapping[str, RowSet[StsRow]], *, keep: bool = False) -> tuple[RowSet[Row], Leaks]:
    """The train rows without those that share a pair or a sentence with dev or test, and what was found.

    keep: find them, and leave them in. Raises DataError where most of train would go.
    """
    import numpy as np

    leaks = find_leaks(
        (row.sentences for row in train.rows), {split: (row.sentences for row in rows.rows) for split, rows in held_out.items()}
    )
    num_left_out = len(leaks.sentence_rows)
    if keep or not num_left_out:
        return train, leaks
    if num_left_out > _TOO_MANY * len(train):
        raise DataError(
            f"{train.source}: {num_left_out:,} of its {len(train):,} train rows share a sentence with dev or test, so little would be left "
            "to train on. Give splits of their own, or keep_leaks=true to train on them all the same."
        )
    stays = np.ones(len(train), dtype=bool)
    stays[leaks.sentence_rows] = False
    rows: StoredRows[Row] = StoredRows(type(train.rows[0]), compress(train.rows, stays))
    return replace(train, rows=rows, num_leaks=num_left_out), leaks
