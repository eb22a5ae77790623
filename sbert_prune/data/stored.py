"""Checked rows in an Arrow file of their own, so that millions of them take no memory."""

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

_AT_ONCE = 16_384  # rows of a record batch: about 3 MB
_LABELS = tuple(Label)


@dataclass(frozen=True)
class _Layout:
    """How rows of one kind lie in columns: the two sentences, and what is said of them.

    said: the further columns with their Arrow types.
    """

    said: Mapping[str, str]
    to_cells: Callable[[Any], tuple[object, ...]]
    of_cells: Callable[..., Any]


_LAYOUTS: dict[type, _Layout] = {
    NliRow: _Layout({"label": "int8"}, lambda row: (_LABELS.index(row.label),), lambda one, two, cell: NliRow(one, two, _LABELS[cell])),
    StsRow: _Layout(
        {"score": "float64"} | dict.fromkeys(("genre", "file"), "string"), lambda row: (row.score, row.genre, row.file), StsRow
    ),
}


class StoredRows(Sequence[Row], Generic[Row]):
    """Rows that lie on disk; an iteration holds a few thousand of them at a time. The file goes with the value."""

    def __init__(self, kind: type[Row], rows: Iterable[Row], *, at_once: int = _AT_ONCE) -> None:
        """Write the rows as they come.

        Args:
            kind: NliRow or StsRow.
            rows: The rows.
            at_once: How many rows are held in memory and written as one record batch.
        """
        self._layout = _LAYOUTS[kind]
        self._folder = TemporaryDirectory(prefix="sbert-prune-rows-")
        self._path = Path(self._folder.name) / "rows.arrow"
        self._starts = [0]
        self._write(iter(rows), at_once)

    def _write(self, rows: Iterator[Row], at_once: int) -> None:
        import pyarrow

        schema = pyarrow.schema([("one", pyarrow.string()), ("two", pyarrow.string()), *self._layout.said.items()])
        with pyarrow.OSFile(str(self._path), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
            while part := list(islice(rows, at_once)):
                cells = [row.sentences + self._layout.to_cells(row) for row in part]
                arrays = [pyarrow.array(column, field.type) for column, field in zip(zip(*cells, strict=True), schema, strict=True)]
                writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
                self._starts.append(self._starts[-1] + len(part))

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[type, Path, list[int]]]:
        """Another process reads the same file, as long as this value is there."""
        kind = next(kind for kind, layout in _LAYOUTS.items() if layout is self._layout)
        return type(self)._lent, (kind, self._path, self._starts)

    @classmethod
    def _lent(cls, kind: type[Row], path: Path, starts: list[int]) -> Self:
        lent = cls.__new__(cls)
        lent._layout, lent._path, lent._starts = _LAYOUTS[kind], path, starts
        return lent

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
        return map(self._layout.of_cells, *(column.to_pylist() for column in batch.columns))

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return self.take(range(*place.indices(len(self))))
        wanted = place + len(self) if place < 0 else place
        if not 0 <= wanted < len(self):
            raise IndexError(f"row {place} of {len(self)}")
        return self.take([wanted])[0]

    def take(self, places: Sequence[int]) -> list[Row]:
        """Some rows by their places, in the order asked for."""
        import numpy as np

        wanted = np.asarray(places, dtype=np.int64)
        batches = np.searchsorted(self._starts, wanted, side="right") - 1
        found: list[Row | None] = [None] * len(wanted)
        for number in np.unique(batches).tolist():
            asked = np.flatnonzero(batches == number)
            batch = self._mapped.get_batch(number).take(wanted[asked] - self._starts[number])
            for place, row in zip(asked.tolist(), self._rows(batch), strict=True):
                found[place] = row
        return found  # type: ignore[return-value]  # every place is filled

    @cached_property
    def _mapped(self) -> pyarrow.RecordBatchFileReader:
        import pyarrow

        return pyarrow.ipc.open_file(pyarrow.memory_map(str(self._path)))

    def without(self, places: Iterable[int]) -> Self:
        """The rows but for those at some places."""
        left_out = frozenset(places)
        kept = (row for place, row in enumerate(self) if place not in left_out)
        return type(self)(next(kind for kind, layout in _LAYOUTS.items() if layout is self._layout), kept)
