"""Csv and tsv text: detect delimiter and quoting, and parse records so that a damaged line costs only one of them."""

import csv
import re
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sbert_prune.data.formats.table import Record

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SAMPLE_LINES = 500

_FAULTS = {
    "unexpected end of data": "a quoted cell is opened here and never closed; expected a closing quote",
    "expected after": "a quoted cell is not closed, or contains a quote that is not doubled; expected csv quoting",
    "field larger": "a cell is longer than {limit:,} characters; probably a quoted cell is not closed",
    "new-line character": "a carriage return is in a cell that is not quoted; expected quotes around it",
}

_SWALLOWS = "a quoted cell is opened here and closed on line {}, so that it would swallow rows; expected csv quoting"


def parse_lines(lines: Iterable[str], delimiter: str, *, quoted: bool, may_swallow: bool = True) -> Iterator[Record]:
    """Return the records of the lines, without blank lines.

    Args:
        lines: The lines with their line ends.
        delimiter: What separates the cells.
        quoted: Whether double quotes are csv quoting rather than text.
        may_swallow: Whether a quoted cell may contain lines that look like records; if not, its first line is a fault,
            and the others are records.
    """
    return _quoted_records(lines, delimiter, may_swallow) if quoted else _plain_records(lines, delimiter)


_HINT = re.compile(r'\ufeff?"?sep=(.)"?[\r\n]*')


class WithoutHint(Iterable[str]):
    """Lines without the one by which Excel gives the delimiter, `sep=;`; it becomes blank, so all keep their numbers.

    Attributes:
        delimiter: The delimiter that it gives; None without such a line.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        """Read the first line."""
        match = _HINT.fullmatch(next(iter(lines), ""))
        self._lines, self.delimiter = lines, match[1] if match else None

    def __iter__(self) -> Iterator[str]:
        lines = iter(self._lines)
        if self.delimiter is not None:
            next(lines)
            yield "\n"
        yield from lines


def usual_width(records: Iterable[Record]) -> tuple[int, int]:
    """Return the most frequent number of cells, and how many records have it."""
    widths = Counter(len(record.cells) for record in records if not record.fault)
    return max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))


def choose_delimiter(lines: Iterable[str], *, likely: str = ",") -> str:
    """Return the delimiter that splits most of the first lines into the same number of cells; `likely` if none does.

    Three cells or more on half of the lines take precedence over two, which a decimal comma or a semicolon in each
    sentence gives too.
    """
    sample = list(islice(lines, _SAMPLE_LINES))
    order = sorted(DELIMITERS, key=lambda delimiter: delimiter != likely)
    return max(order, key=lambda delimiter: _regularity(sample, delimiter))


class Quoting(NamedTuple):
    """Whether double quotes are csv quoting, and whether a quoted cell may contain lines that look like records."""

    quoted: bool
    may_swallow: bool = True


def choose_quoting(lines: Iterable[str], delimiter: str) -> Quoting:
    """Detect whether double quotes are csv quoting.

    A quote that is opened in one row and closed in another, as in a quotation of several sentences, would swallow the
    rows between. If every line is a record without quoting, and few cells are wrapped in quotes, quotes are text. If
    the only quoted cells that span lines are those that swallow rows, such cells are faults.
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


def reads_as_quoted(lines: Iterable[str], delimiter: str) -> bool:
    """Return whether double quotes in a tab-separated file are csv quoting rather than part of the sentences.

    They are quoting if cells with doubled inner quotes outnumber cells that no csv writer makes, if most lines have
    wrapped cells, or if every cell with quotes is one that a csv writer makes. Otherwise the interpretation that gives
    regular records is chosen: only quoting keeps cells together that span lines, and a stray quote taken for quoting
    swallows rows.
    """
    cells = _QuoteCells.of(lines, delimiter)
    if not cells.wrapped and not cells.stray:
        return False
    wrapped_throughout = 2 * cells.wrapped >= cells.num_lines and cells.wrapped >= 9 * cells.stray
    if not cells.stray or cells.escaped > cells.stray or wrapped_throughout:
        return True
    return _is_more_regular(_Reading.of(lines, delimiter, quoted=True), _Reading.of(lines, delimiter, quoted=False))


def _plain_records(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        cells = line.rstrip("\r\n").split(delimiter)
        if not _is_blank(cells):
            yield Record(number, tuple(cells))


def _quoted_records(lines: Iterable[str], delimiter: str, may_swallow: bool) -> Iterator[Record]:  # noqa: FBT001 - passed on
    source, line = _Rewindable(lines), 1
    while True:
        fault = yield from _until_fault(source, line, delimiter, may_swallow)
        if fault is None:
            return
        yield fault
        line = fault.line + 1  # the line after the damaged one, not the line on which the reader failed
        source.rewind()


def _until_fault(
    source: "_Rewindable",
    line: int,
    delimiter: str,
    may_swallow: bool,  # noqa: FBT001 - passed on
) -> Generator[Record, None, Record | None]:
    """Yield records from line number `line` on; return the first that cannot be read, without cells."""
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    first = line
    try:
        for cells in reader:
            num_lines = len(source.record_lines)
            swallows = num_lines > 1 and all(
                text.count(delimiter) + 1 == len(cells) for text in source.record_lines if text.strip()
            )
            if swallows and not may_swallow:
                return Record(line, (), _SWALLOWS.format(first + reader.line_num - 1))
            source.end_record()
            if not _is_blank(cells):
                yield Record(line, tuple(cells), num_lines=num_lines, swallows=swallows)
            line = first + reader.line_num
    except csv.Error as error:
        return Record(line, (), _fault(error))
    return None


class _Rewindable:
    """Lines that can be read again from the second line of the current record on."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._source, self._pending, self._record_lines = iter(lines), deque[str](), list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._pending.popleft() if self._pending else next(self._source)
        self._record_lines.append(line)
        return line

    @property
    def record_lines(self) -> Sequence[str]:
        """The lines of the current record."""
        return self._record_lines

    def end_record(self) -> None:
        """Forget the lines of a complete record."""
        self._record_lines.clear()

    def rewind(self) -> None:
        """Go back to the second line of the current record."""
        self._pending.extendleft(reversed(self._record_lines[1:]))
        self._record_lines.clear()


def _is_blank(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells)  # spreadsheets write the delimiters of empty rows


def _fault(error: csv.Error) -> str:
    messages = (text for key, text in _FAULTS.items() if key in str(error))
    return next(messages, str(error)).format(limit=csv.field_size_limit())


def _regularity(lines: list[str], delimiter: str) -> tuple[bool, float]:
    quoted = delimiter != "\t" or reads_as_quoted(lines, delimiter)
    records = list(parse_lines(lines, delimiter, quoted=quoted))
    width, count = usual_width(records)
    share = count / len(records) if width >= 2 else 0.0
    return width >= 3 and share >= 0.5, share


class _QuoteCells(NamedTuple):
    """Counts of the cells with quotes in a text that is read without quoting.

    Attributes:
        num_lines: All lines.
        wrapped: Cells in quotes as a csv writer makes them.
        escaped: Those of them with a doubled inner quote.
        stray: Cells with quotes that no csv writer makes.
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


class _Reading(NamedTuple):
    """How regular the records are when quotes are read in one way.

    Attributes:
        total: All records.
        width: The most frequent number of cells.
        usual: Records with that number of cells.
        swallowed: Whether some cell contains both a line end and a delimiter.
        num_swallowing: Records of several lines each of which could be a record of its own.
        num_spanning: Records of several lines that could not.
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
        """Whether all records have the same number of cells, and no cell contains lines with delimiters."""
        return self.width >= 3 and self.usual == self.total and not self.swallowed


def _is_more_regular(quoted: _Reading, plain: _Reading) -> bool:
    if quoted.is_flawless and not plain.is_flawless:
        return True
    return quoted.usual >= plain.usual and quoted.total - quoted.usual < plain.total - plain.usual


def _is_wrapped(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")
