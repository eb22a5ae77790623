"""Which column of a table is the text and which the label."""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sbert_prune.data.columns import Columns, find_header, first_cells, shorten
from sbert_prune.data.formats.delimited import usual_width
from sbert_prune.data.formats.read import read_table
from sbert_prune.data.formats.table import Table
from sbert_prune.data.labelled_lines import is_text_file, read_labelled_lines
from sbert_prune.data.sheets import Sheet
from sbert_prune.errors import DataError

COLUMNS = {
    "text": ("text", "sentence", "headline", "review", "content", "tweet", "utterance", "utt", "document", "comment", "title"),
    "label": ("label", "labels", "class", "category", "target", "intent", "topic", "sentiment", "emotion", "coarse_label", "label_coarse"),
}
_SAMPLE = 10_000
_MANY = 10


def labelled_sheet(path: Path) -> Sheet:
    """Understand one file. Raises DataError for one whose columns cannot be told, or that has no row."""
    table = read_labelled_lines(path) if is_text_file(path) else read_table(path)
    header = find_header(table, COLUMNS)
    sheet = Sheet(table, header or _headerless(table), header is not None and table.header is None)
    if next(sheet.records(), None) is None:
        raise DataError(f"{path} holds a header and no rows; expected rows of text and label.")
    return sheet


class _Column(NamedTuple):
    """The values of a column with how often each occurs."""

    place: int
    values: Counter[str]


def _headerless(table: Table) -> Columns:
    """Two columns: the label's is the one with fewer different values."""
    sample = [record for record in islice(table.records(), _SAMPLE) if not record.fault]
    width, _ = usual_width(sample)
    first = shorten(first_cells(table))
    if width != 2:
        raise DataError(
            f"{table.path}: its first line, {first}, names no column text and label, and without a header two columns are expected, "
            f"not {width}. Name the columns text and label in the first line."
        )
    rows = [record.cells for record in sample if len(record.cells) == 2]
    columns = [_Column(place, Counter(str(cells[place]).strip() for cells in rows)) for place in (0, 1)]
    label, text = sorted(columns, key=lambda column: len(column.values))
    if len(label.values) == len(text.values):
        raise DataError(
            f"{table.path}: its first line, {first}, names no column, and both columns have {len(text.values):,} different values in "
            f"{len(rows):,} rows, so it cannot be told which one is the label. Name the columns text and label in the first line."
        )
    _check_no_unknown_header(table, str(rows[0][label.place]).strip(), label.values, first)
    told = "text, label" if label.place == 1 else "label, text"
    return Columns((text.place, label.place), 2, f"no header: {told} (told by {len(label.values):,} different values)")


def _check_no_unknown_header(table: Table, first_label: str, labels: Counter[str], first: str) -> None:
    """Raises DataError for a first line whose label no other row has, where each other label has several."""
    if labels.total() >= _MANY and [label for label, num in labels.items() if num == 1] == [first_label]:
        raise DataError(
            f"{table.path}: its first line, {first}, looks like a header: no other row has the label {first_label!r}. Name the columns "
            "text and label there; if it is a row, put such a line before it."
        )
