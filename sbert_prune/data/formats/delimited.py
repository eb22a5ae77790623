"""Records of csv and tsv text, read so that one damaged line costs one record."""

import csv
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

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


DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

_SAMPLE = 500


def choose_delimiter(lines: Iterable[str], *, likely: str = ",") -> str:
    """The delimiter that gives the most of the first lines one same number of cells; the likely one when none does.

    Three cells or more on half of the lines go before two, which a decimal comma or a semicolon in each sentence makes as well.
    """
    sample = list(islice(lines, _SAMPLE))
    order = sorted(DELIMITERS, key=lambda delimiter: delimiter != likely)
    return max(order, key=lambda delimiter: _regularity(sample, delimiter))


def reads_as_quoted(lines: Iterable[str], delimiter: str) -> bool:
    """Whether double quotes in a tab-separated file are csv quoting rather than part of the sentences.

    They are quoting when cells with doubled inner quotes outnumber cells that no csv writer makes, when most lines have
    wrapped cells, or when no cell speaks against it. Else the reading with regular records is right: only quoting keeps
    cells together that span lines, and a stray quote read as quoting swallows rows.
    """
    cells = _QuoteCells.of(lines, delimiter)
    if not cells.wrapped and not cells.stray:
        return False
    wrapped_throughout = 2 * cells.wrapped >= cells.num_lines and cells.wrapped >= 9 * cells.stray
    if not cells.stray or cells.escaped > cells.stray or wrapped_throughout:
        return True
    return _is_more_regular(_Reading.of(lines, delimiter, quoted=True), _Reading.of(lines, delimiter, quoted=False))


class _QuoteCells(NamedTuple):
    """The cells with quotes of a text that is read without quoting: those that a csv writer makes, those with a doubled inner quote among
    them, and those that none makes.
    """

    num_lines: int
    wrapped: int
    escaped: int
    stray: int

    @classmethod
    def of(cls, lines: Iterable[str], delimiter: str) -> "_QuoteCells":
        num_lines = wrapped = stray = escaped = 0
        for line in lines:
            num_lines += 1
            if '"' not in line:
                continue
            for cell in line.rstrip("\r\n").split(delimiter):
                if _is_wrapped(cell):
                    wrapped += 1
                    escaped += '""' in cell[1:-1]
                else:
                    stray += '"' in cell
        return cls(num_lines, wrapped, escaped, stray)


class Quoting(NamedTuple):
    """How double quotes are read: as csv has them or as text, and whether a quoted cell may hold what looks like records."""

    quoted: bool
    may_swallow: bool = True


def choose_quoting(lines: Iterable[str], delimiter: str) -> Quoting:
    """Whether double quotes are csv quoting.

    A quote that is opened in one row and closed in another, as a quotation over several sentences has them, would swallow the rows
    between. Where every line is a record without quoting, and hardly a cell is wrapped in quotes, they are text. Where no quoted cell
    spans lines but those that swallow rows, such rows are faults.
    """
    if delimiter == "\t" and not reads_as_quoted(lines, delimiter):
        return Quoting(quoted=False)
    reading = _Reading.of(lines, delimiter, quoted=True)
    if not reading.num_swallowing:
        return Quoting(quoted=True)
    cells = _QuoteCells.of(lines, delimiter)
    if cells.stray > cells.wrapped and _Reading.of(lines, delimiter, quoted=False).is_flawless:
        return Quoting(quoted=False)
    return Quoting(quoted=True, may_swallow=reading.num_spanning > 0)


class _Reading(NamedTuple):
    """How regular the records of one reading are. usual: records with the most frequent width.  swallowed: cells that look like lines.

    num_swallowing, num_spanning: records of several lines that could be records of their own, and that could not.
    """

    total: int
    width: int
    usual: int
    swallowed: bool
    num_swallowing: int
    num_spanning: int

    @classmethod
    def of(cls, lines: Iterable[str], delimiter: str, *, quoted: bool) -> "_Reading":
        widths: Counter[int] = Counter()
        total, swallowed, swallowing, spanning = 0, False, 0, 0
        for record in parse_lines(lines, delimiter, quoted=quoted):
            total += 1
            swallowing += record.swallows
            spanning += record.num_lines > 1 and not record.swallows
            if not record.fault:
                widths[len(record.cells)] += 1
                swallowed |= any("\n" in cell and delimiter in cell for cell in record.cells if isinstance(cell, str))
        width, usual = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        return cls(total, width, usual, swallowed, swallowing, spanning)

    @property
    def is_flawless(self) -> bool:
        """Whether all records have one width and no cell holds swallowed lines, which hold delimiters."""
        return self.width >= 3 and self.usual == self.total and not self.swallowed


def _is_more_regular(quoted: _Reading, plain: _Reading) -> bool:
    if quoted.is_flawless and not plain.is_flawless:
        return True
    return quoted.usual >= plain.usual and quoted.total - quoted.usual < plain.total - plain.usual


def _is_wrapped(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


def _regularity(lines: list[str], delimiter: str) -> tuple[bool, float]:
    quoted = delimiter != "\t" or reads_as_quoted(lines, delimiter)
    records = list(parse_lines(lines, delimiter, quoted=quoted))
    width, count = usual_width(records)
    share = count / len(records) if width >= 2 else 0.0
    return width >= 3 and share >= 0.5, share
