"""Records of formats that know their columns: parquet, Arrow, and the folders of `datasets`."""

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
from sbert_prune.data.formats.text import opened, split_suffixes
from sbert_prune.errors import DataError

if TYPE_CHECKING:
    import pyarrow

    _Opener = Callable[[Path], AbstractContextManager[tuple[pyarrow.Schema, Iterable[pyarrow.RecordBatch]]]]

_ROWS_AT_ONCE = 8_192
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def is_dataset_folder(path: Path) -> bool:
    """Whether `Dataset.save_to_disk` left one split here."""
    return (path / "dataset_info.json").is_file() and (path / "state.json").is_file()


def read_parquet(path: Path) -> Table:
    """A parquet file, a few thousand rows at a time."""
    return _table(path, "parquet", _open_parquet)


def read_arrow(path: Path) -> Table:
    """An Arrow file, of the IPC format with random access or the streaming one."""
    return _table(path, "Arrow", _open_arrow)


def read_dataset_folder(path: Path) -> Table:
    """A folder that `datasets` saved, with its selections and shuffles as they were."""
    return _table(path, "saved by datasets", _open_dataset)


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
                    raise ValueError("it has no end, so it was cut off")
                yield reader.schema, reader


@contextmanager
def _open_dataset(path: Path) -> Iterator[tuple[pyarrow.Schema, Iterable[pyarrow.RecordBatch]]]:
    from datasets import load_from_disk

    saved = load_from_disk(str(path)).with_format("arrow")
    tables = saved.iter(_ROWS_AT_ONCE)
    yield saved.features.arrow_schema, (batch for table in tables for batch in table.to_batches())


def _table(path: Path, note: str, opener: _Opener) -> Table:

    with _sound(path, note), _unpacked(path) as file, opener(file) as (schema, _):
        places = [place for place, field in enumerate(schema) if _may_be_wanted(field.type)]
        header = tuple(schema.field(place).name for place in places)
        names = _class_names(schema)

    def records() -> Iterator[Record]:
        with _sound(path, note), _unpacked(path) as file, opener(file) as (_, batches):
            number = count(1)
            for batch in batches:
                for part in range(0, batch.num_rows, _ROWS_AT_ONCE):
                    columns = [batch.column(place).slice(part, _ROWS_AT_ONCE).to_pylist() for place in places]
                    yield from (Record(next(number), row) for row in zip(*columns, strict=True))

    return Table(str(path), records, header=header, unit="row", notes=(note,), names=names)


@contextmanager
def _sound(path: Path, note: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        what = "folder as datasets saves them" if path.is_dir() else f"{note} file"
        raise DataError(f"{path} is not a readable {what} ({reason}). Write it again, or copy it again from where it came from.") from error


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file itself; a compressed one as a plain copy, because these formats are read from both ends."""
    if path.is_dir() or not split_suffixes(path)[1]:
        yield path
        return
    with TemporaryDirectory(prefix="sbert-prune-") as folder:
        plain = Path(folder) / "plain"
        with opened(path) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield plain


def _may_be_wanted(kind: pyarrow.DataType) -> bool:
    """Sentences, labels and scores are plain values; times, vectors and what is nested are not even read."""
    import pyarrow

    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    return not (pyarrow.types.is_temporal(kind) or pyarrow.types.is_nested(kind) or pyarrow.types.is_fixed_size_binary(kind))


def _class_names(schema: pyarrow.Schema) -> dict[str, tuple[str, ...]]:
    """The words behind numbers that `datasets` notes in a file's metadata."""
    try:
        features: dict[str, Any] = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        listed = {name: feature for name, feature in features.items() if isinstance(feature, dict)}
        return {name: tuple(map(str, feature["names"])) for name, feature in listed.items() if feature.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
