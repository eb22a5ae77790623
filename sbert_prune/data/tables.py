"""Records of one file with their places, whatever the file's format."""

from dataclasses import dataclass
from typing import NamedTuple


class Record(NamedTuple):
    """One line of a table.

    line: 1-based; the physical line on which the record starts, or the row of a parquet file.
    fault: why the record could not be read; empty when it could.
    """

    line: int
    cells: tuple[object, ...]
    fault: str = ""


@dataclass(frozen=True)
class Table:
    """A file's records, not yet understood as NLI or STS.

    header: the column names where the format has them (jsonl, parquet); None where the first record may be a header.
    unit: "line" or "row": what `Record.line` counts.
    notes: what was understood about the format, for people.
    """

    path: str
    records: tuple[Record, ...]
    header: tuple[str, ...] | None = None
    unit: str = "line"
    notes: tuple[str, ...] = ()

    def place(self, record: Record) -> str:
        """Where the record stands, as every message about it begins."""
        return f"{self.path}, {self.unit} {record.line}"
