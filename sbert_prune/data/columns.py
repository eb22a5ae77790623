"""The columns of a table: find them by name or layout, clean their cells, parse rows, and count the bad ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

from sbert_prune.data.formats.read import read_table
from sbert_prune.data.formats.table import Record, Source, Table
from sbert_prune.data.normalise import clean
from sbert_prune.errors import DataError, RecipeError
from sbert_prune.system.reading import MAX_TEXT_CHARS

Synonyms = Mapping[str, Sequence[str]]
"""The names that a column may have, the most specific first."""

MISSING = frozenset({"nan", "NaN", "<NA>", "#N/A"})
"""What programs write for a missing cell."""

ON_BAD_ROWS = ("error", "skip")
_MAX_MESSAGES = 1_000

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Columns:
    """The positions of the required columns.

    Attributes:
        indices: The index of each required column.
        width: The number of cells that a record must have; with `open_ended`, at least that many.
        layout: A description for the user.
        open_ended: Whether a record may have further cells.
        more: The index of each optional column; None for one that the table lacks.
    """

    indices: tuple[int, ...]
    width: int
    layout: str
    open_ended: bool = False
    more: tuple[int | None, ...] = ()

    def cells(self, record: Record) -> list[object]:
        """Return the required cells of a record.

        Raises DataError for a record with another number of cells, which may have shifted, or with a cell that is too
        long to be read.
        """
        if not self.fits(len(record.cells)):
            num_cells = f"{len(record.cells)} cell{'s' * (len(record.cells) != 1)}"
            raise DataError(
                f"{num_cells}; expected {self.width}{' or more' if self.open_ended else ''} ({self.layout})"
            )
        return [_limited(record.cells[index]) for index in self.indices]

    def more_cells(self, record: Record) -> list[str]:
        """Return the optional cells of a record; "" for one that is empty or that the table lacks."""
        cells = ("" if index is None else _limited(record.cells[index]) for index in self.more)
        return [clean(str(cell)) if cell is not None else "" for cell in cells]

    def behind_row_names(self) -> "Columns":
        """Return the columns of a table whose rows begin with a name, for which the header has no cell."""
        return replace(
            self,
            indices=tuple(index + 1 for index in self.indices),
            more=tuple(None if index is None else index + 1 for index in self.more),
            width=self.width + 1,
            layout=f"{self.layout}, behind row names without one",
        )

    def fits(self, num_cells: int) -> bool:
        """Return whether a record may have this many cells."""
        return num_cells == self.width or (self.open_ended and num_cells > self.width)


def _limited(cell: object) -> object:
    if isinstance(cell, str | bytes) and len(cell) > MAX_TEXT_CHARS:
        raise DataError(f"a cell has {len(cell):,} characters; expected at most {MAX_TEXT_CHARS:,}")
    return cell


def first_cells(table: Table) -> tuple[str, ...]:
    """Return the header, or the cells of the first record, which may be one.

    Raises DataError if the first record cannot be read.
    """
    if table.header is not None:
        return table.header
    first = next(table.records())
    if first.fault:
        raise DataError(
            f"{table.place(first)}: {first.fault}. It is the first line, so the columns cannot be identified."
        )
    return tuple(map(str, first.cells))


def find_header(table: Table, synonyms: Synonyms, more: Synonyms = MappingProxyType({})) -> Columns | None:
    """Return the columns by their names; None if the first record names no required column and so is a row.

    Args:
        table: The table.
        synonyms: The names of the required columns.
        more: The names of the optional columns.

    Raises:
        DataError: Only some required columns are named, or one is named twice.
    """
    names = column_names(table)
    matches = {
        column: next((name for name in accepted if name in names), None) for column, accepted in synonyms.items()
    }
    if table.header is None and not any(matches.values()):
        return None
    if missing := [column for column, name in matches.items() if name is None]:
        raise DataError(
            f"{table.path} has no column {missing[0]!r}. Read as {table.notes[0]}, its columns are {shorten(names)}; "
            f"{missing[0]} may be called {' or '.join(synonyms[missing[0]])}."
        )
    if twice := [name for name in matches.values() if name and names.count(name) > 1]:
        raise DataError(
            f"{table.path} has {names.count(twice[0])} columns {twice[0]!r}; expected one. Rename or remove the others."
        )
    others = tuple(
        next((names.index(name) for name in accepted if names.count(name) == 1), None) for accepted in more.values()
    )
    indices = tuple(names.index(name) for name in matches.values() if name)
    return Columns(indices, len(names), f"columns {', '.join(filter(None, names))}", more=others)


def column_names(table: Table) -> list[str]:
    """Return the names in a possible header as `find_header` compares them: case, blanks and dashes do not matter."""
    names = (name.strip().strip("\ufeff").casefold() for name in first_cells(table))
    return [name.replace(" ", "_").replace("-", "_") for name in names]


def text_of(cell: object, name: str) -> str:
    """Return the sentence in a cell, cleaned: in Unicode's composed form, without invisible characters.

    Raises DataError for a missing cell or one that is not text.
    """
    if not isinstance(cell, str):
        is_missing = cell is None or str(cell) == "nan"
        value = "missing" if is_missing else f"{str(cell)[:40]!r} ({type(cell).__name__})"
        raise DataError(f"the {name} is {value}; expected a sentence")
    text = clean(cell)
    if text in MISSING:
        raise DataError(f"the {name} is {text!r}, which stands for a missing value; expected a sentence")
    return text


def shorten(names: Sequence[str]) -> str:
    """Join cells for a message, each shortened so that a sentence does not fill the screen."""
    return ", ".join(repr(name if len(name) <= 30 else name[:27] + "...") for name in names)


@dataclass(frozen=True)
class Sheet:
    """A table, the positions of its required columns, and whether its first record is the header."""

    table: Table
    columns: Columns
    has_header_line: bool

    @classmethod
    def of(
        cls,
        path: Source,
        synonyms: Callable[[Table], Synonyms],
        headerless: Callable[[Table], Columns],
        more: Synonyms = MappingProxyType({}),
        *,
        read: Callable[[Any], Table] = read_table,
    ) -> Self:
        """Read a file and find its columns.

        Args:
            path: The file.
            synonyms: Returns the names of the required columns for a table.
            headerless: Returns the layout of a table without a header.
            more: The names of the optional columns.
            read: Reads the file.

        Raises:
            DataError: The columns cannot be identified, or there is no row.
        """
        table = _without_titles(read(path), synonyms)
        required = synonyms(table)
        header = find_header(table, required, more)
        if header is not None and table.header is None and _has_row_names(table, header):
            header = header.behind_row_names()
        sheet = cls(table, header or headerless(table), header is not None and table.header is None)
        if next(sheet.records(), None) is None:
            raise DataError(f"{path} holds a header and no rows; expected rows of {', '.join(required)}.")
        return sheet

    def records(self) -> Iterator[Record]:
        """Return the records after the header."""
        return islice(self.table.records(), int(self.has_header_line), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """A description of the format and the columns, for the user."""
        return (*self.table.notes, self.columns.layout)


_MOST_TITLES, _MOST_ROW_NAMES = 10, 1_000


def _without_titles(table: Table, synonyms: Callable[[Table], Synonyms]) -> Table:
    """Return the table without the lines of a title: those with fewer cells than required, before a whole header."""
    for number, record in enumerate(islice(table.records(), _MOST_TITLES) if table.header is None else ()):
        if record.fault:
            break
        below = replace(table, read=partial(_records_from, table, number))
        required, names = synonyms(below), set(column_names(below))
        if all(names.intersection(accepted) for accepted in required.values()):
            return replace(below, notes=(*table.notes, f"title lines above: {number}")) if number else table
        if sum(bool(str(cell).strip()) for cell in record.cells) >= len(required):
            break
    return table


def _records_from(table: Table, start: int) -> Iterator[Record]:
    return islice(table.records(), start, None)


def _has_row_names(table: Table, header: Columns) -> bool:
    """Return whether each row has one cell more than the header and begins with a number of its own, as R writes it."""
    rows = list(islice(table.records(), 1, _MOST_ROW_NAMES))
    names = [str(row.cells[0]).strip() for row in rows if len(row.cells) == header.width + 1]
    return bool(rows) and len(names) == len(rows) == len(set(names)) and all(name.isdecimal() for name in names)


def name_of(files: Sequence[Source]) -> str:
    """Return a name for the files of a split, for the user."""
    name = Path(str(files[0])).name
    return name if len(files) == 1 else f"{name} and {len(files) - 1} more"


def source_of(files: Sequence[Source]) -> str:
    """Return the path of the files of a split, for the user."""
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


_SKIP = ", or skip such rows with on_bad_rows=skip"


@dataclass
class BadRows:
    """The rows that could not be used.

    Attributes:
        num: Their number.
        messages: What is wrong with the first thousand.
        advice: What to do about them.
    """

    num: int = 0
    messages: list[str] = field(default_factory=list)
    advice: str = f"fix the file{_SKIP}"

    def add(self, message: str) -> None:
        """Count a bad row."""
        self.num += 1
        if len(self.messages) < _MAX_MESSAGES:
            self.messages.append(message)


def parse_each(
    table: Table, records: Iterable[Record], parse: Callable[[Record], Parsed], bad: BadRows
) -> Iterator[Parsed]:
    """Yield `parse(record)` for each record; records for which it raises DataError are added to the bad rows."""
    for record in records:
        try:
            if record.fault:
                raise DataError(record.fault)
            value = parse(record)
        except DataError as error:
            bad.add(f"{table.place(record)}: {error}.")
        else:
            yield value


def raise_for_bad_rows(path: str, *, num_good: int, bad: BadRows, on_bad_rows: str) -> None:
    """Raise DataError for any bad row unless `on_bad_rows` is "skip"; then only if no row is good or most are bad."""
    check_on_bad_rows(on_bad_rows)
    total = num_good + bad.num
    if bad.num and on_bad_rows == "error":
        advice = bad.advice if bad.num <= num_good else bad.advice.replace(_SKIP, "")  # so many are never skipped
        raise DataError(f"{bad.messages[0]} {_others(bad.num, total)}; {advice}.")
    if bad.num > num_good or not num_good:
        first = " ".join(bad.messages[:3])
        raise DataError(
            f"{path}: {bad.num:,} of {total:,} rows cannot be used, so its layout is probably misunderstood. {first}"
        )


def check_on_bad_rows(on_bad_rows: str) -> None:
    """Raise RecipeError unless the setting is one of ON_BAD_ROWS."""
    if on_bad_rows not in ON_BAD_ROWS:
        raise RecipeError(f"on_bad_rows={on_bad_rows!r} is unknown. It is one of {', '.join(ON_BAD_ROWS)}.")


def _others(num_bad: int, total: int) -> str:
    count = "It is the only bad row" if num_bad == 1 else f"{num_bad:,} rows are bad"
    return f"{count} of {total:,}"
