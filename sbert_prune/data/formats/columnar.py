"""Formats that store their columns' names and types: parquet, Arrow, and folders that `datasets` saved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sbert_prune.data.formats.table import Record, Table
from sbert_prune.data.formats.text import open_bytes, split_suffixes
from sbert_prune.errors import DataError

if TYPE_CHECKING:
    import pyarrow

    _Opener = Callable[[Path], AbstractContextManager[tuple[pyarrow.Schema, Iterable[pyarrow.RecordBatch]]]]

_ROWS_AT_ONCE = 8_192
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def is_dataset_folder(path: Path) -> bool:
    """Return whether `Dataset.save_to_disk` saved a split in this folder."""
    return (path / "dataset_info.json").is_file() and (path / "state.json").is_file()


def read_parquet(path: Path) -> Table:
    """Read a parquet file, a few thousand rows at a time."""
    return _table(path, "parquet", _open_parquet)


def read_arrow(path: Path) -> Table:
    """Read an Arrow file, in the IPC file format or the streaming format."""
    return _table(path, "Arrow", _open_arrow)


def read_dataset_folder(path: Path) -> Table:
    """Read a folder that `datasets` saved, with its selections and shuffles."""
    return _table(path, "saved by datasets", _open_dataset)


def _table(path: Path, note: str, opener: _Opener) -> Table:
    with _errors_as_data_errors(path, note), _uncompressed(path) as file, opener(file) as (schema, _):
        indices = [index for index, field in enumerate(schema) if _is_plain(field.type)]
        header = tuple(schema.field(index).name for index in indices)
        names = _class_names(schema)

    def records() -> Iterator[Record]:
        with _errors_as_data_errors(path, note), _uncompressed(path) as file, opener(file) as (_, batches):
            number = count(1)
            for batch in batches:
                for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                    columns = [batch.column(index).slice(start, _ROWS_AT_ONCE).to_pylist() for index in indices]
                    yield from (Record(next(number), row) for row in zip(*columns, strict=True))

    return Table(str(path), records, header=header, unit="row", notes=(note,), names=names)


@contextmanager
def _open_parquet(path: Path) -> Iterator[tuple[pyarrow.Schema, Iterable[pyarrow.RecordBatch]]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as source:
        yield source.schema_arrow, source.iter_batches(_ROWS_AT_ONCE)


@contextmanager
def _open_arrow(path: Path) -> Iterator[tuple[pyarrow.Schema, Iterable[pyarrow.RecordBatch]]]:
    import pyarrow

    with pyarrow.OSFile(str(path)) as source:
        has_index = source.read(6) == b"ARROW1"
        source.seek(0)
        if has_index:
            with pyarrow.ipc.open_file(source) as reader:
                yield reader.schema, map(reader.get_batch, range(reader.num_record_batches))
        else:
            source.seek(max(0, source.size() - len(_END_OF_STREAM)))
            is_whole = source.read() == _END_OF_STREAM
            source.seek(0)
            with pyarrow.ipc.open_stream(source) as reader:
                if not is_whole:
                    raise ValueError("its end is missing, so it was cut off")
                yield reader.schema, reader


@contextmanager
def _open_dataset(path: Path) -> Iterator[tuple[pyarrow.Schema, Iterable[pyarrow.RecordBatch]]]:
    from datasets import load_from_disk

    saved = load_from_disk(str(path)).with_format("arrow")
    tables = saved.iter(_ROWS_AT_ONCE)
    yield saved.features.arrow_schema, (batch for table in tables for batch in table.to_batches())


@contextmanager
def _errors_as_data_errors(path: Path, note: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = "folder saved by datasets" if path.is_dir() else f"{note} file"
        raise DataError(
            f"{path} is not a readable {kind} ({reason}). Write it again, or copy it again from its source."
        ) from error


@contextmanager
def _uncompressed(path: Path) -> Iterator[Path]:
    """Yield the file, or an uncompressed copy of a compressed one, because these formats need random access."""
    if path.is_dir() or not split_suffixes(path)[1]:
        yield path
        return
    with TemporaryDirectory(prefix="sbert-prune-") as folder:
        plain = Path(folder) / "plain"
        with open_bytes(path) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield plain


def _is_plain(kind: pyarrow.DataType) -> bool:
    """Return whether a column may contain sentences, labels or scores; times, vectors and nested values do not."""
    import pyarrow

    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    return not (
        pyarrow.types.is_temporal(kind) or pyarrow.types.is_nested(kind) or pyarrow.types.is_fixed_size_binary(kind)
    )


def _class_names(schema: pyarrow.Schema) -> dict[str, tuple[str, ...]]:
    """Return the class names of label columns, which `datasets` stores in a file's metadata."""
    try:
        features: dict[str, Any] = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        columns = {name: feature for name, feature in features.items() if isinstance(feature, dict)}
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in columns.items()
            if feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
