"""Which column of a table means what."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar

from sbert_prune.data.formats.read import read_table
from sbert_prune.data.formats.table import Record, Table
from sbert_prune.data.normalise import clean
from sbert_prune.errors import DataError, RecipeError

Synonyms = Mapping[str, Sequence[str]]
"""The names that a wanted column may carry, the most telling first."""

MISSING = frozenset({"nan", "NaN", "<NA>", "#N/A"})
"""What programs write for a cell that they do not have."""


@dataclass(frozen=True)
class Columns:
    """Where the wanted columns stand.

    width: the number of cells that a record must have; with `open_ended`, at least that many.
    layout: for people.
    more: where columns stand that a table may have or lack; None for one that it lacks.
    """

    indices: tuple[int, ...]
    width: int
    layout: str
    open_ended: bool = False
    more: tuple[int | None, ...] = ()

    def cells(self, record: Record) -> list[object]:
        """The wanted cells of a record.

        Raises DataError for a record of another width, whose cells may have shifted.
        """
        if not self.fits(len(record.cells)):
            found = f"{len(record.cells)} cell{'s' * (len(record.cells) != 1)}"
            raise DataError(f"{found}; expected {self.width}{' or more' if self.open_ended else ''} ({self.layout})")
        return [record.cells[index] for index in self.indices]

    def more_cells(self, record: Record) -> list[str]:
        """The cells that the table need not have; what it lacks, or leaves empty, is ""."""
        cells = ("" if index is None else record.cells[index] for index in self.more)
        return [clean(str(cell)) if cell is not None else "" for cell in cells]

    def fits(self, num_cells: int) -> bool:
        """Whether a record may have this many cells."""
        return num_cells == self.width or (self.open_ended and num_cells > self.width)


def first_cells(table: Table) -> tuple[str, ...]:
    """The cells that may name the columns.

    Raises DataError when the first record cannot be read.
    """
    if table.header is not None:
        return table.header
    first = next(table.records())
    if first.fault:
        raise DataError(f"{table.place(first)}: {first.fault}. It is the first line, so the columns cannot be told.")
    return tuple(map(str, first.cells))


def find_header(table: Table, synonyms: Synonyms, more: Synonyms = MappingProxyType({})) -> Columns | None:
    """The wanted columns by their names, and those that may be missing; None when the first record names no wanted one: it is a row.

    Raises DataError when some are named and some are missing or named twice.
    """
    names = column_names(table)
    found = {wanted: next((name for name in accepted if name in names), None) for wanted, accepted in synonyms.items()}
    if table.header is None and not any(found.values()):
        return None
    if missing := [wanted for wanted, name in found.items() if name is None]:
        raise DataError(f"{table.path} has no column {missing[0]!r}. {_columns_found(table, names, missing[0], synonyms[missing[0]])}")
    if twice := [name for name in found.values() if name and names.count(name) > 1]:
        raise DataError(f"{table.path} has {names.count(twice[0])} columns {twice[0]!r}; expected one. Rename or remove the others.")
    others = tuple(next((names.index(name) for name in accepted if names.count(name) == 1), None) for accepted in more.values())
    indices = tuple(names.index(name) for name in found.values() if name)
    return Columns(indices, len(names), f"columns {', '.join(names)}", more=others)


def column_names(table: Table) -> list[str]:
    """The cells that may name the columns, as `find_header` compares them: case, blanks and dashes do not count."""
    return [_normalise(name) for name in first_cells(table)]


def text_of(cell: object, name: str) -> str:
    """The sentence in a cell, clean: in Unicode's composed form, without what cannot be seen around it.

    Raises DataError for a missing cell or one that is not text.
    """
    if not isinstance(cell, str):
        is_missing = cell is None or str(cell) == "nan"
        found = "missing" if is_missing else f"{str(cell)[:40]!r} ({type(cell).__name__})"
        raise DataError(f"the {name} is {found}; expected a sentence")
    text = clean(cell)
    if text in MISSING:
        raise DataError(f"the {name} is {text!r}, which stands for a missing value; expected a sentence")
    return text


def shorten(names: Sequence[str]) -> str:
    """Cells for a message, each cut so that a sentence does not fill the screen."""
    return ", ".join(repr(name if len(name) <= 30 else name[:27] + "...") for name in names)


def _normalise(name: str) -> str:
    return name.strip().strip("\ufeff").casefold().replace(" ", "_").replace("-", "_")


def _columns_found(table: Table, names: Sequence[str], wanted: str, accepted: Sequence[str]) -> str:
    return f"Read as {table.notes[0]}, its columns are {shorten(names)}; {wanted} may be called {' or '.join(accepted)}."


ON_BAD_ROWS = ("error", "skip")

_KEPT = 1_000

Parsed = TypeVar("Parsed")


@dataclass
class BadRows:
    """The rows of a table that could not be used, as they are met. messages: of the first thousand."""

    num: int = 0
    messages: list[str] = field(default_factory=list)

    def add(self, message: str) -> None:
        """Count one more."""
        self.num += 1
        if len(self.messages) < _KEPT:
            self.messages.append(message)


def parse_each(table: Table, records: Iterable[Record], parse: Callable[[Record], Parsed], bad: BadRows) -> Iterator[Parsed]:
    """What `parse` makes of every record; those that it refuses with a DataError go to the bad rows."""
    for record in records:
        try:
            if record.fault:
                raise DataError(record.fault)
            value = parse(record)
        except DataError as error:
            bad.add(f"{table.place(record)}: {error}.")
        else:
            yield value


def settle(path: str, *, num_good: int, bad: BadRows, on_bad_rows: str) -> None:
    """Raises DataError for any bad row unless `on_bad_rows` is "skip", and then still when no row is left or most are bad."""
    check_on_bad_rows(on_bad_rows)
    total = num_good + bad.num
    if bad.num and on_bad_rows == "error":
        raise DataError(f"{bad.messages[0]} {_others(bad.num, total)}")
    if bad.num > num_good or not num_good:
        first = " ".join(bad.messages[:3])
        raise DataError(f"{path}: {bad.num:,} of {total:,} rows cannot be used, so its layout is probably misunderstood. {first}")


def check_on_bad_rows(on_bad_rows: str) -> None:
    """Raises RecipeError unless the setting is one of ON_BAD_ROWS."""
    if on_bad_rows not in ON_BAD_ROWS:
        raise RecipeError(f"on_bad_rows={on_bad_rows!r} is unknown. It is one of {', '.join(ON_BAD_ROWS)}.")


def _others(num_bad: int, total: int) -> str:
    counted = "It is the only bad row" if num_bad == 1 else f"{num_bad:,} rows are bad"
    return f"{counted} of {total:,}; mend the file, or leave such rows out with on_bad_rows=skip."


@dataclass(frozen=True)
class Sheet:
    """A table, where its wanted columns stand, and whether its first record names them."""

    table: Table
    columns: Columns
    has_header_line: bool

    @classmethod
    def of(
        cls,
        path: Path,
        synonyms: Callable[[Table], Synonyms],
        headerless: Callable[[Table], Columns],
        more: Synonyms = MappingProxyType({}),
    ) -> Self:
        """Understand one file.

        synonyms: what the wanted columns may be called.  headerless: the layout of a table without a header.
        more: what columns may be called that the file need not have.

        Raises DataError for a file whose columns cannot be told, or that has no row.
        """
        table = read_table(path)
        wanted = synonyms(table)
        header = find_header(table, wanted, more)
        sheet = cls(table, header or headerless(table), header is not None and table.header is None)
        if next(sheet.records(), None) is None:
            raise DataError(f"{path} holds a header and no rows; expected rows of {', '.join(wanted)}.")
        return sheet

    def records(self) -> Iterator[Record]:
        """The records behind the header."""
        return islice(self.table.records(), int(self.has_header_line), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was understood, for people."""
        return (*self.table.notes, self.columns.layout)


def name_of(files: Sequence[Path]) -> str:
    """What several files of one split are called, for people."""
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"


def source_of(files: Sequence[Path]) -> str:
    """Where they lie, for people."""
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
