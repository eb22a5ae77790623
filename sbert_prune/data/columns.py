"""Which column of a table means what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sbert_prune.data.formats.table import Record, Table
from sbert_prune.data.normalise import clean
from sbert_prune.errors import DataError

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
