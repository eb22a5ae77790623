"""Records of csv and tsv text, read so that one damaged line costs one record."""

import csv
from collections import Counter
from collections.abc import Generator, Iterator, Sequence

from sbert_prune.data.tables import Record

_FAULTS = {
    "unexpected end of data": "a quoted cell is opened here and never closed; expected a closing quote",
    "expected after": "a quoted cell is not closed, or holds a quote that is not doubled; expected quotes as csv has them",
    "field larger": "a cell is longer than {limit:,} characters; probably a quoted cell is not closed",
    "new-line character": "a carriage return stands in a cell that is not quoted; expected quotes around it",
}


def split_lines(text: str) -> list[str]:
    """Physical lines with their ends; only real line ends count, not the other separators that str.splitlines knows."""
    end = "\n" if "\n" in text else "\r"
    lines = [line + end for line in text.split(end)]
    return lines[:-1] if lines[-1] == end else lines


def parse_lines(lines: Sequence[str], delimiter: str, *, quoted: bool) -> Iterator[Record]:
    """The records of the lines, blank lines left out."""
    return _quoted_records(lines, delimiter) if quoted else _plain_records(lines, delimiter)


def usual_width(records: Sequence[Record]) -> tuple[int, int]:
    """The most frequent number of cells, and how many records have it."""
    widths = Counter(len(record.cells) for record in records if not record.fault)
    return max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))


def _plain_records(lines: Sequence[str], delimiter: str) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        cells = line.rstrip("\r\n").split(delimiter)
        if not _is_blank(cells):
            yield Record(number, tuple(cells))


def _quoted_records(lines: Sequence[str], delimiter: str) -> Iterator[Record]:
    start = 0
    while start < len(lines):
        fault = yield from _until_fault(lines, start, delimiter)
        if fault is None:
            return
        yield fault
        start = fault.line  # the line after the damaged one, not the line on which the reader gave up


def _until_fault(lines: Sequence[str], start: int, delimiter: str) -> Generator[Record, None, Record | None]:
    """Records from line `start` (from 0) on; returns the first that cannot be read, with no cells."""
    reader = csv.reader((lines[index] for index in range(start, len(lines))), delimiter=delimiter, strict=True)
    line = start + 1
    try:
        for cells in reader:
            if not _is_blank(cells):
                yield Record(line, tuple(cells))
            line = start + reader.line_num + 1
    except csv.Error as error:
        return Record(line, (), _fault(error))
    return None


def _is_blank(cells: Sequence[str]) -> bool:
    return not cells or (len(cells) == 1 and not cells[0].strip())


def _fault(error: csv.Error) -> str:
    known = (text for key, text in _FAULTS.items() if key in str(error))
    return next(known, str(error)).format(limit=csv.field_size_limit())
