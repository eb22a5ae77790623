"""Files of labelled texts, read as checked rows: tables with two columns, and text files with a label on each line."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sbert_prune.data.columns import (
    MISSING,
    BadRows,
    Columns,
    Sheet,
    first_cells,
    name_of,
    parse_each,
    raise_for_bad_rows,
    shorten,
    source_of,
    text_of,
)
from sbert_prune.data.formats.delimited import parse_lines, usual_width
from sbert_prune.data.formats.read import read_table
from sbert_prune.data.formats.table import Record, Source, Table
from sbert_prune.data.formats.text import TextLines, check_file, split_suffixes
from sbert_prune.data.normalise import clean
from sbert_prune.data.rows import LabelledRow, LabelledRows
from sbert_prune.errors import DataError

HEADER = ("label", "text")

COLUMNS = {
    "text": (
        "text",
        "sentence",
        "headline",
        "review",
        "content",
        "tweet",
        "utterance",
        "utt",
        "document",
        "comment",
        "title",
    ),
    "label": (
        "label",
        "labels",
        "class",
        "category",
        "target",
        "intent",
        "topic",
        "sentiment",
        "emotion",
        "coarse_label",
        "label_coarse",
    ),
}

_SAMPLE_LINES = 500
_SAMPLE_ROWS = 10_000
_MANY = 10
_MAX_LABEL_LENGTH = 100
_PREFIX = "__label__"  # fastText's


def is_text_file(path: Path) -> bool:
    """Return whether the name ends in .txt, also with .gz, .xz or .zst."""
    return split_suffixes(path)[0] == ".txt"


def parse_labelled(files: Sequence[Source], *, on_bad_rows: str = "error") -> LabelledRows:
    """Return the rows of one split; lines that repeat the header are left out and noted.

    Raises:
        DataError: A file is bad, or a row is and `on_bad_rows` is not "skip".
    """
    sheets = [labelled_sheet(path) for path in files]
    reading = _Reading()
    rows = tuple(row for sheet in sheets for row in reading.rows(sheet))
    source = source_of(files)
    raise_for_bad_rows(source, num_good=len(rows), bad=reading.bad, on_bad_rows=on_bad_rows)
    return LabelledRows(
        name_of(files), rows, source, tuple(reading.bad.messages), reading.bad.num, (*sheets[0].notes, *reading.notes())
    )


def labelled_sheet(path: Source) -> Sheet:
    """Return a file's table with its columns. Raises DataError if they cannot be identified or there is no row."""
    read = read_labelled_lines if isinstance(path, Path) and is_text_file(path) else read_table
    return Sheet.of(path, lambda _: COLUMNS, _headerless, read=read)


def read_labelled_lines(path: Path) -> Table:
    """Return a table with the columns label and text, or a tab-separated one if most lines contain a tab.

    A line that is not UTF-8 becomes a record with a fault: data sets of the 1990s have a few in Latin-1.

    Raises:
        DataError: The file is missing, empty or not a text file.
    """
    check_file(path, expected="one text a line, with its label before it")
    lines = TextLines.of(path)
    sample = list(islice((line for line in _line_records(lines) if not line.fault), _SAMPLE_LINES))
    if not sample:
        first = next(_line_records(lines), None)
        raise DataError(
            f"{path}, line {first.line}: {first.fault}."
            if first
            else f"{path} holds no text, only blank lines at most."
        )
    if 2 * sum("\t" in str(line.cells[0]).strip() for line in sample) > len(sample):
        return Table(str(path), partial(_tab_separated_records, lines), notes=("tab-separated, no quotes",))
    return Table(str(path), partial(_label_first_records, lines), header=HEADER, notes=("one label and text a line",))


@dataclass
class _Reading:
    """Counts of the bad rows and repeated headers of a split."""

    bad: BadRows = field(default_factory=BadRows)
    num_headers: int = 0

    def rows(self, sheet: Sheet) -> Iterator[LabelledRow]:
        """Yield the rows of one file."""
        names = _class_names(sheet)
        header = next(sheet.table.records()).cells if sheet.has_header_line else None

        def parse(record: Record) -> LabelledRow | None:
            if record.cells == header:
                return None
            text, label = sheet.columns.cells(record)
            return LabelledRow(text_of(text, "text"), _label_of(label, names))

        for row in parse_each(sheet.table, sheet.records(), parse, self.bad):
            if row is None:
                self.num_headers += 1
            else:
                yield row

    def notes(self) -> tuple[str, ...]:
        """Return remarks for the user."""
        return (f"{self.num_headers:,} lines repeat the header and are left out",) if self.num_headers else ()


def _label_of(cell: object, names: Mapping[str, str]) -> str:
    """Return the class in a cell: 0, "0" and 0.0 are the same. `names` has the class names of numbers, if any."""
    label = "" if cell is None else clean(str(cell))
    if not isinstance(cell, str):
        label = label.removesuffix(".0")
    if label in MISSING or label in ("", "nan"):
        raise DataError(f"the label is {repr(label) if label else 'missing'}; expected the name of a class")
    if len(label) > _MAX_LABEL_LENGTH:
        raise DataError(
            f"the label is {label[:40]!r}... of {len(label):,} characters, a text; expected the name of a class"
        )
    if names and label not in names:
        raise DataError(
            f"the label is {label}; expected 0 to {len(names) - 1}, which stand for {', '.join(names.values())}"
        )
    return names.get(label, label)


def _class_names(sheet: Sheet) -> dict[str, str]:
    """Return the class names of the numbers in the label column, if the file has them."""
    if sheet.table.header is None:
        return {}
    words = sheet.table.names.get(sheet.table.header[sheet.columns.indices[1]], ())
    return {str(number): clean(word) for number, word in enumerate(words)}


class _Column(NamedTuple):
    """The position of a column, and how often each of its values occurs."""

    position: int
    values: Counter[str]


def _headerless(table: Table) -> Columns:
    """Return the layout of a table of two columns: the label column is the one with fewer different values."""
    sample = [record for record in islice(table.records(), _SAMPLE_ROWS) if not record.fault]
    width, _ = usual_width(sample)
    first = shorten(first_cells(table))
    if width != 2:
        raise DataError(
            f"{table.path}: its first line, {first}, names no column text and label, and without a header two columns "
            f"are expected, not {width}. Name the columns text and label in the first line."
        )
    rows = [record.cells for record in sample if len(record.cells) == 2]
    columns = [_Column(index, Counter(str(cells[index]).strip() for cells in rows)) for index in (0, 1)]
    label, text = sorted(columns, key=lambda column: len(column.values))
    if len(label.values) == len(text.values):
        raise DataError(
            f"{table.path}: its first line, {first}, names no column, and both columns have {len(text.values):,} "
            f"different values in {len(rows):,} rows, so it is not clear which one is the label. Name the columns text "
            "and label in the first line."
        )
    _check_no_unknown_header(table, str(rows[0][label.position]).strip(), label.values, first)
    names = "text, label" if label.position == 1 else "label, text"
    return Columns(
        (text.position, label.position),
        2,
        f"no header: {names} (the label column has {len(label.values):,} different values)",
    )


def _check_no_unknown_header(table: Table, first_label: str, labels: Counter[str], first: str) -> None:
    """Raise DataError if no other row has the label of the first line, while every other label has several rows."""
    if labels.total() >= _MANY and [label for label, num in labels.items() if num == 1] == [first_label]:
        raise DataError(
            f"{table.path}: its first line, {first}, looks like a header: no other row has the label {first_label!r}. "
            "Name the columns text and label there; if it is a row, put such a line before it."
        )


def _line_records(lines: TextLines) -> Iterator[Record]:
    """Yield each line that is not blank as a record of one cell."""
    is_utf_8 = lines.encoding != "utf-16"
    for number, line in enumerate(lines.decoded("surrogateescape") if is_utf_8 else lines, start=1):
        if line.strip():
            yield Record(number, (line,), _fault(line))


def _fault(line: str) -> str:
    if "\0" in line:
        return "a NUL byte; expected text in UTF-8"
    wrong = next((character for character in line if "\udc80" <= character <= "\udcff"), None)
    if wrong is None:
        return ""
    return (
        f"the byte 0x{ord(wrong) - 0xDC00:02x} is not UTF-8; the file may be in Latin-1 or Windows-1252: save it again "
        "as UTF-8"
    )


def _tab_separated_records(lines: TextLines) -> Iterator[Record]:
    for line in _line_records(lines):
        if line.fault:
            yield line
        else:
            yield from (
                record._replace(line=line.line) for record in parse_lines(map(str, line.cells), "\t", quoted=False)
            )


def _label_first_records(lines: TextLines) -> Iterator[Record]:
    for line in _line_records(lines):
        label, *text = clean(str(line.cells[0])).split(None, 1)
        fault = line.fault or ("" if text else f"{label[:40]!r} stands alone; expected a label, a blank and a text")
        yield Record(line.line, (label.removeprefix(_PREFIX), *text), fault)
