"""STS files without a header, told by what their columns hold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from sbert_prune.data.columns import Columns, shorten
from sbert_prune.data.formats.table import Record, Table
from sbert_prune.data.scores import parse_number
from sbert_prune.errors import DataError

LAYOUTS = (
    Columns((0, 1, 2), 3, "no header: sentence1, sentence2, score"),
    Columns((1, 2, 0), 3, "no header: score, sentence1, sentence2"),
    Columns((5, 6, 4), 7, "no header: genre, file, year, id, score, sentence1, sentence2", open_ended=True, more=(0, 1)),
)

_SAMPLE = 200

_REGULAR = 0.95
"""From this share of records with one width on, a record of another width is damaged, even where a layout is open-ended."""


def detect_layout(table: Table) -> Columns:
    """The layout that fits most of the first records.

    Raises DataError when it fits fewer than half of them.
    """
    sample = [record for record in islice(table.records(), _SAMPLE) if not record.fault]
    best = max(LAYOUTS, key=lambda layout: _num_fitting(layout, sample))
    if not sample or 2 * _num_fitting(best, sample) < len(sample):
        raise DataError(_no_layout(table, sample))
    if not best.open_ended:
        return best
    widths = Counter(len(record.cells) for record in table.records())  # one that cannot be read has none
    width, count = widths.most_common(1)[0]
    is_regular = best.fits(width) and count >= _REGULAR * widths.total()
    return replace(best, width=width, open_ended=False) if is_regular else best


def _num_fitting(layout: Columns, records: Sequence[Record]) -> int:
    return sum(_fits(layout, record) for record in records)


def _fits(layout: Columns, record: Record) -> bool:
    if not layout.fits(len(record.cells)):
        return False
    first, second, score = (parse_number(record.cells[index]) for index in layout.indices)
    return first is None and second is None and score is not None


def _no_layout(table: Table, sample: Sequence[Record]) -> str:
    if not sample:
        unreadable = next(table.records())
        return f"{table.place(unreadable)}: {unreadable.fault}. None of the first {_SAMPLE} lines can be read."
    width = Counter(len(record.cells) for record in sample).most_common(1)[0][0]
    known = "; ".join(layout.layout.removeprefix("no header: ") for layout in LAYOUTS)
    first = shorten([str(cell) for cell in sample[0].cells])
    return (
        f"{table.path}: its first line, {first}, names no known column, and its {width} columns are in no known order. "
        f"Expected a header with sentence1, sentence2, score, or without one: {known}."
    )
