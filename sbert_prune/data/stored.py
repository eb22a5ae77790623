"""Checked rows stored in a temporary Arrow file, so that millions of them take no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import eq
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from sbert_prune.data.rows import Label, NliRow, Row, StsRow

if TYPE_CHECKING:
    import pyarrow

_BATCH_ROWS = 16_384  # about 3 MB
_LABELS = tuple(Label)


@dataclass(frozen=True)
class _Layout:
    """The columns of one kind of rows: the two sentences, and others.

    Attributes:
        columns: The other columns with their Arrow types.
        to_cells: Returns the cells of the other columns for a row.
        from_cells: Returns the row for all cells.
    """

    columns: Mapping[str, str]
    to_cells: Callable[[Any], tuple[object, ...]]
    from_cells: Callable[..., Any]


_LAYOUTS: dict[type, _Layout] = {
    NliRow: _Layout(
        {"label": "int8"},
        lambda row: (_LABELS.index(row.label),),
        lambda premise, hypothesis, number: NliRow(premise, hypothesis, _LABELS[number]),
    ),
    StsRow: _Layout(
        {"score": "float64"} | dict.fromkeys(("genre", "file"), "string"),
        lambda row: (row.score, row.genre, row.file),
        StsRow,
    ),
}


class StoredRows(Sequence[Row], Generic[Row]):
    """Rows on disk, of which an iteration reads a few thousand at a time; the file is deleted with this object."""

    def __init__(self, kind: type[Row], rows: Iterable[Row], *, batch_rows: int = _BATCH_ROWS) -> None:
        """Write the rows to a temporary file.

        Args:
            kind: NliRow or StsRow.
            rows: The rows; read once.
            batch_rows: How many rows are kept in memory and written as one record batch.
        """
        self._kind: type[Row] = kind
        self._layout = _LAYOUTS[kind]
        self._folder = TemporaryDirectory(prefix="sbert-prune-rows-")
        self._path = Path(self._folder.name) / "rows.arrow"
        self._starts = [0]
        self._write(iter(rows), batch_rows)

    def _write(self, rows: Iterator[Row], batch_rows: int) -> None:
        import pyarrow

        schema = pyarrow.schema([("one", pyarrow.string()), ("two", pyarrow.string()), *self._layout.columns.items()])
        with pyarrow.OSFile(str(self._path), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
            while part := list(islice(rows, batch_rows)):
                cells = [row.sentences + self._layout.to_cells(row) for row in part]
                arrays = [
                    pyarrow.array(column, field.type)
                    for column, field in zip(zip(*cells, strict=True), schema, strict=True)
                ]
                writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
                self._starts.append(self._starts[-1] + len(part))

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[type, Path, list[int]]]:
        """Pickle the path: another process reads the same file, as long as this object exists."""
        return type(self)._open, (self._kind, self._path, self._starts)

    @classmethod
    def _open(cls, kind: type[Row], path: Path, starts: list[int]) -> Self:
        rows = cls.__new__(cls)
        rows._kind, rows._layout, rows._path, rows._starts = kind, _LAYOUTS[kind], path, starts
        return rows

    def __len__(self) -> int:
        return self._starts[-1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Row]:
        # Read, not mapped: the pages of a mapped file would count as this process's memory.
        import pyarrow

        with pyarrow.OSFile(str(self._path)) as source, pyarrow.ipc.open_file(source) as reader:
            for number in range(reader.num_record_batches):
                yield from self._rows(reader.get_batch(number))

    def _rows(self, batch: pyarrow.RecordBatch) -> Iterator[Row]:
        return map(self._layout.from_cells, *(column.to_pylist() for column in batch.columns))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        from_start = index + len(self) if index < 0 else index
        if not 0 <= from_start < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return self.take([from_start])[0]

    def take(self, indices: Sequence[int]) -> list[Row]:
        """Return the rows at some indices, in the order of the indices."""
        import numpy as np

        requested = np.asarray(indices, dtype=np.int64)
        batches = np.searchsorted(self._starts, requested, side="right") - 1
        taken: list[Row | None] = [None] * len(requested)
        for number in np.unique(batches).tolist():
            positions = np.flatnonzero(batches == number)
            batch = self._mapped.get_batch(number).take(requested[positions] - self._starts[number])
            for position, row in zip(positions.tolist(), self._rows(batch), strict=True):
                taken[position] = row
        return taken  # type: ignore[return-value]  # every position is filled

    @cached_property
    def _mapped(self) -> pyarrow.RecordBatchFileReader:
        import pyarrow

        return pyarrow.ipc.open_file(pyarrow.memory_map(str(self._path)))
