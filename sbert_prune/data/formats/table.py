"""Tables and records, the common form of all file formats."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from sbert_prune.errors import DataError


class Record(NamedTuple):
    """One record of a table.

    Attributes:
        line: 1-based; the physical line on which the record starts, or the row of a parquet or Arrow file.
        cells: The values of the columns.
        fault: Why the record could not be read; "" if it could.
        num_lines: How many lines it spans.
        swallows: Whether it spans several lines each of which could be a record of its own.
    """

    line: int
    cells: tuple[object, ...]
    fault: str = ""
    num_lines: int = 1
    swallows: bool = False


@dataclass(frozen=True)
class Table:
    """A file's records, before they are parsed as NLI or STS rows; they are never all in memory.

    Attributes:
        path: The file, or the name of rows in memory.
        read: Reads the file from its beginning.
        header: The column names if the format has them (jsonl, parquet, Arrow); None if the first record may be a
            header.
        unit: "line" or "row": what `Record.line` counts.
        notes: A description of the format, for the user.
        names: By column with numbers for class names (a ClassLabel of `datasets`), the class names in the order of the
            numbers.
    """

    path: str
    read: Callable[[], Iterator[Record]]
    header: tuple[str, ...] | None = None
    unit: str = "line"
    notes: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of_rows(cls, name: str, rows: Iterable[Any]) -> Self:
        """Return the table of rows in memory: mappings with one set of keys, or sequences of cells.

        Raises:
            DataError: There is no row, or one is neither.
        """
        rows = list(rows)
        if not rows:
            raise DataError(f"{name} has no rows.")
        header = tuple(map(str, rows[0])) if isinstance(rows[0], Mapping) else None
        for number, row in enumerate(rows, 1):
            if not isinstance(row, Mapping if header else list | tuple):
                raise DataError(
                    f"{name}, row {number} is {str(row)[:40]!r}; expected a {'dict' if header else 'tuple'} of cells. "
                    'From a table of pandas, give table.to_dict("records").'
                )

        def read() -> Iterator[Record]:
            for number, row in enumerate(rows, 1):
                yield Record(number, tuple(map(row.get, rows[0])) if header else tuple(row))

        return cls(name, read, header, unit="row", notes=("rows in memory",))

    def __str__(self) -> str:
        return self.path

    def records(self) -> Iterator[Record]:
        """Read all records, from the beginning of the file."""
        return self.read()

    def place(self, record: Record) -> str:
        """Return path and number of a record, with which every message about it begins."""
        return f"{self.path}, {self.unit} {record.line}"


Source = Path | Table
"""A file, or rows in memory."""
