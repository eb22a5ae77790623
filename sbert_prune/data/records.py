"""One data file read into records, whatever its format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sbert_prune.data.delimited import parse_lines, split_lines
from sbert_prune.data.dialect import DELIMITERS, choose_delimiter, reads_as_quoted
from sbert_prune.data.files import COMPRESSIONS, decode, read_bytes, split_suffixes
from sbert_prune.data.tables import Record, Table
from sbert_prune.errors import DataError


def read_table(path: Path) -> Table:
    """Read a csv, tsv, jsonl or parquet file, also .gz or .xz.

    Raises DataError for a file that is missing, empty, damaged, not UTF-8, or of an unknown format.
    """
    suffix, _ = split_suffixes(path)
    if suffix not in FORMATS and not path.is_dir() and path.exists():
        known = f"{', '.join(FORMATS)}, each also with {' or '.join(COMPRESSIONS)}"
        raise DataError(f"{path} is of no known format: it ends in {suffix!r}. The formats are {known}.")
    data = read_bytes(path)
    table = FORMATS[suffix](path, data)
    if not table.records:
        raise DataError(f"{path} holds no rows; expected at least one.")
    if all(record.fault for record in table.records):
        first = table.records[0]
        raise DataError(f"{table.place(first)}: {first.fault}. No {table.unit} of the file can be read.")
    return table


def is_data_file(path: Path) -> bool:
    """Whether the name ends as a known format does."""
    return split_suffixes(path)[0] in FORMATS


def _read_csv(path: Path, data: bytes) -> Table:
    lines = split_lines(decode(path, data))
    delimiter = choose_delimiter(lines)
    return _read_delimited(path, lines, delimiter)


def _read_tsv(path: Path, data: bytes) -> Table:
    return _read_delimited(path, split_lines(decode(path, data)), "\t")


def _read_delimited(path: Path, lines: list[str], delimiter: str) -> Table:
    quoted = delimiter != "\t" or reads_as_quoted(lines, delimiter)
    held = sum('"' in line for line in lines)
    quoting = "quoted" if quoted else f"quotes are text (on {held:,} lines)" if held else "no quotes"
    records = tuple(parse_lines(lines, delimiter, quoted=quoted))
    return Table(str(path), records, notes=(f"{DELIMITERS[delimiter]}-separated, {quoting}",))


def _read_jsonl(path: Path, data: bytes) -> Table:
    lines = enumerate(split_lines(decode(path, data)), start=1)
    parsed = [(number, *_parse_object(line)) for number, line in lines if line.strip()]
    header = tuple(dict.fromkeys(key for _, found, _ in parsed for key in found))
    records = (Record(number, tuple(found.get(key) for key in header), fault) for number, found, fault in parsed)
    return Table(str(path), tuple(records), header=header, notes=("one JSON object per line",))


def _parse_object(line: str) -> tuple[dict[str, Any], str]:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        return {}, f"invalid JSON ({error.msg} at character {error.pos + 1}); expected one object such as {{...}} per line"
    except (ValueError, RecursionError) as error:
        return {}, f"JSON that cannot be read ({error}); expected one object such as {{...}} per line"
    if not isinstance(found, dict):
        return {}, f"JSON {type(found).__name__} {line.strip()[:40]!r}; expected an object such as {{...}}"
    return found, ""


def _read_parquet(path: Path, data: bytes) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        columns = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
        times = [field.name for field in columns.schema if pyarrow.types.is_temporal(field.type)]
        columns = columns.drop_columns(times)  # never sentences, and some have no Python value
        header = tuple(columns.column_names)
        cells = [column.to_pylist() for column in columns.columns]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} is not a readable parquet file ({reason}). Write it again, or copy it again from where it came from."
        ) from error
    records = tuple(Record(number, row) for number, row in enumerate(zip(*cells, strict=True), start=1))
    return Table(str(path), records, header=header, unit="row", notes=("parquet",))


FORMATS: dict[str, Callable[[Path, bytes], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}
