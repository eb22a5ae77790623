"""Files of labelled texts, read into checked rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sbert_prune.data.badrows import BadRows, parse_each, settle
from sbert_prune.data.columns import MISSING, text_of
from sbert_prune.data.formats.table import Record
from sbert_prune.data.labelled_columns import labelled_sheet
from sbert_prune.data.labelled_rows import LabelledRow, LabelledRows
from sbert_prune.data.normalise import clean
from sbert_prune.data.sheets import Sheet, name_of, source_of
from sbert_prune.errors import DataError

_LONGEST_LABEL = 100


def parse_labelled(files: Sequence[Path], *, on_bad_rows: str = "error") -> LabelledRows:
    """Read the rows of one split; lines that repeat the header are left out and told of.

    Raises DataError for a bad file, and for bad rows unless `on_bad_rows` is "skip".
    """
    sheets = [labelled_sheet(path) for path in files]
    reading = _Reading()
    rows = tuple(row for sheet in sheets for row in reading.rows(sheet))
    source = source_of(files)
    settle(source, num_good=len(rows), bad=reading.bad, on_bad_rows=on_bad_rows)
    return LabelledRows(name_of(files), rows, source, tuple(reading.bad.messages), reading.bad.num, (*sheets[0].notes, *reading.notes()))


@dataclass
class _Reading:
    """What is met while the rows of a split are read."""

    bad: BadRows = field(default_factory=BadRows)
    num_headers: int = 0

    def rows(self, sheet: Sheet) -> Iterator[LabelledRow]:
        """The rows of one file."""
        names = _names_of(sheet)
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
        """What was met, for people."""
        return (f"{self.num_headers:,} lines repeat the header and are left out",) if self.num_headers else ()


def _label_of(cell: object, names: Mapping[str, str]) -> str:
    """The class in a cell: 0, "0" and 0.0 are one. names: what numbers stand for, where the file says so."""
    label = "" if cell is None else clean(str(cell))
    if not isinstance(cell, str):
        label = label.removesuffix(".0")
    if label in MISSING or label in ("", "nan"):
        raise DataError(f"the label is {repr(label) if label else 'missing'}; expected the name of a class")
    if len(label) > _LONGEST_LABEL:
        raise DataError(f"the label is {label[:40]!r}... of {len(label):,} characters, a text; expected the name of a class")
    if names and label not in names:
        raise DataError(f"the label is {label}; expected 0 to {len(names) - 1}, which stand for {', '.join(names.values())}")
    return names.get(label, label)


def _names_of(sheet: Sheet) -> dict[str, str]:
    """The words behind the numbers of the label's column, where the file has them."""
    if sheet.table.header is None:
        return {}
    words = sheet.table.names.get(sheet.table.header[sheet.columns.indices[1]], ())
    return {str(number): clean(word) for number, word in enumerate(words)}
