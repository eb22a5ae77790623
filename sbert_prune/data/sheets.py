"""A table whose columns are understood."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Self

from sbert_prune.data.columns import Columns, Synonyms, find_header
from sbert_prune.data.formats.read import read_table
from sbert_prune.data.formats.table import Record, Table
from sbert_prune.errors import DataError


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
