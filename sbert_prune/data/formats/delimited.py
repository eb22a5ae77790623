"""Records of csv and tsv text, read so that one damaged line costs one record."""

import csv
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence

from sbert_prune.data.formats.table import Record

_FAULTS = {
    "unexpected end of data": "a quoted cell is opened here and never closed; expected a closing quote",
    "expected after": "a quoted cell is not closed, or holds a quote that is not doubled; expected quotes as csv has them",
    "field larger": "a cell is longer than {limit:,} characters; probably a quoted cell is not closed",
    "new-line character": "a carriage return stands in a cell that is not quoted; expected quotes around it",
}

_SWALLOWS = "a quoted cell is opened here and closed on line {}, so that it would swallow rows; expected quotes as csv has them"


def parse_lines(lines: Iterable[str], delimiter: str, *, quoted: bool, may_swallow: bool = True) -> Iterator[Record]:
    """The records of the lines, blank lines left out.

    may_swallow: whether a quoted cell may hold what looks like records; else its first line is a fault, and the others are read.
    """
    return _quoted_records(lines, delimiter, may_swallow) if quoted else _plain_records(lines, delimiter)


def usual_width(records: Iterable[Record]) -> tuple[int, int]:
    """The most frequent number of cells, and how many records have it."""
    widths = Counter(len(record.cells) for record in records if not record.fault)
    return max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))


def _plain_records(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        cells = line.rstrip("\r\n").split(delimiter)
        if not _is_blank(cells):
            yield Record(number, tuple(cells))


class _Rewindable:
    """Lines that can be given again from behind the first line of the record that is being read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._coming, self._again, self._given = iter(lines), deque[str](), list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._coming)
        self._given.append(line)
        return line

    @property
    def given(self) -> Sequence[str]:
        """The lines since the mark."""
        return self._given

    def mark(self) -> None:
        """The record is whole: its lines are not wanted again."""
        self._given.clear()

    def rewind(self) -> None:
        """Give the lines since the mark again, but for the first."""
        self._again.extendleft(reversed(self._given[1:]))
        self._given.clear()


def _quoted_records(lines: Iterable[str], delimiter: str, may_swallow: bool) -> Iterator[Record]:  # noqa: FBT001 - handed through
    source, line = _Rewindable(lines), 1
    while True:
        fault = yield from _until_fault(source, line, delimiter, may_swallow)
        if fault is None:
            return
        yield fault
        line = fault.line + 1  # the line after the damaged one, not the line on which the reader gave up
        source.rewind()


def _until_fault(
    source: _Rewindable,
    line: int,
    delimiter: str,
    may_swallow: bool,  # noqa: FBT001 - handed through
) -> Generator[Record, None, Record | None]:
    """Records from line number `line` on; returns the first that cannot be read, with no cells."""
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    first = line
    try:
        for cells in reader:
            num_lines = len(source.given)
            swallows = num_lines > 1 and all(text.count(delimiter) + 1 == len(cells) for text in source.given if text.strip())
            if swallows and not may_swallow:
                return Record(line, (), _SWALLOWS.format(first + reader.line_num - 1))
            source.mark()
            if not _is_blank(cells):
                yield Record(line, tuple(cells), num_lines=num_lines, swallows=swallows)
            line = first + reader.line_num
    except csv.Error as error:
        return Record(line, (), _fault(error))
    return None


def _is_blank(cells: Sequence[str]) -> bool:
    return not cells or (len(cells) == 1 and not cells[0].strip())


def _fault(error: csv.Error) -> str:
    known = (text for key, text in _FAULTS.items() if key in str(error))
    return next(known, str(error)).format(limit=csv.field_size_limit())
