"""Records of one file with their places, whatever the file's format."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Record(NamedTuple):
    """One line of a table.

    line: 1-based; the physical line on which the record starts, or the row of a parquet or Arrow file.
    fault: why the record could not be read; empty when it could.
    num_lines: how many lines it spans.  swallows: whether each of several lines could be a record of its own.
    """

    line: int
    cells: tuple[object, ...]
    fault: str = ""
    num_lines: int = 1
    swallows: bool = False


@dataclass(frozen=True)
class Table:
    """A file's records, not yet understood as NLI or STS; they are never all in memory.

    read: reads the file from its beginning.
    header: the column names where the format has them (jsonl, parquet, Arrow); None where the first record may be a header.
    unit: "line" or "row": what `Record.line` counts.
    notes: what was understood about the format, for people.
    names: of a column whose numbers stand for words (a ClassLabel of `datasets`), the words in the order of the numbers.
    """

    path: str
    read: Callable[[], Iterator[Record]]
    header: tuple[str, ...] | None = None
    unit: str = "line"
    notes: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def records(self) -> Iterator[Record]:
        """All records, read anew."""
        return self.read()

    def place(self, record: Record) -> str:
        """Where the record stands, as every message about it begins."""
        return f"{self.path}, {self.unit} {record.line}"
