"""Data files of all formats, read as tables of records."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sbert_prune.data.formats.columnar import is_dataset_folder, read_arrow, read_dataset_folder, read_parquet
from sbert_prune.data.formats.delimited import DELIMITERS, WithoutHint, choose_delimiter, choose_quoting, parse_lines
from sbert_prune.data.formats.table import Record, Source, Table
from sbert_prune.data.formats.text import COMPRESSIONS, TextLines, check_file, open_bytes, split_suffixes
from sbert_prune.errors import DataError

_SAMPLE = 1_000
"""The columns of a jsonl file are the keys of so many objects."""


def read_table(path: Source) -> Table:
    """Read a csv, tsv, jsonl, parquet or Arrow file, also .gz, .xz or .zst, or a folder that `datasets` saved.

    Rows in memory are a table already.

    Raises:
        DataError: The file is missing, empty, damaged, not UTF-8 or UTF-16, or of an unknown format. Damage after the
            first record raises while the records are read.
    """
    if isinstance(path, Table):
        return path
    if is_dataset_folder(path):
        return _checked(read_dataset_folder(path))
    suffix, _ = split_suffixes(path)
    if suffix not in FORMATS and not path.is_dir() and path.exists():
        raise DataError(
            f"{path} is of no known format: it ends in {suffix!r}. {known_formats()}{pasted_scores([path.name])}"
        )
    check_file(path, expected="rows")
    return _checked(FORMATS[suffix](path))


def is_data_file(path: Path) -> bool:
    """Return whether the name ends with the suffix of a known format."""
    return split_suffixes(path)[0] in FORMATS


def known_formats() -> str:
    """Return a sentence that lists the known formats."""
    return f"The formats are {', '.join(FORMATS)}, each also with {' or '.join(COMPRESSIONS)}."


_SEMEVAL = re.compile(r"STS\.(?:input|gs)\.(.+)\.txt")


def pasted_scores(names: Iterable[str]) -> str:
    """Return how to join the files of SemEval's STS tasks if one is named, else "": one has no scores, one no texts."""
    match = next(filter(None, map(_SEMEVAL.fullmatch, names)), None)
    if match is None:
        return ""
    return (
        " STS.input.*.txt has the sentences, without scores, and STS.gs.*.txt the scores. Join them: paste "
        f"STS.gs.{match[1]}.txt STS.input.{match[1]}.txt > {match[1]}.tsv"
    )


def _checked(table: Table) -> Table:
    """Return the table. Raises DataError if it has no readable record."""
    records = table.records()
    first = next(records, None)
    if first is None:
        raise DataError(f"{table.path} holds no rows; expected at least one.")
    if first.fault and all(record.fault for record in records):
        raise DataError(f"{table.place(first)}: {first.fault}. No {table.unit} of the file can be read.")
    return table


def _read_delimited(likely: str, path: Path) -> Table:
    text = TextLines.of(path)
    lines = WithoutHint(text)
    if not any(line.strip() for line in lines):
        raise DataError(f"{path} holds no text, only blank lines at most; expected rows.")
    delimiter = lines.delimiter or choose_delimiter(lines, likely=likely)
    quoting = choose_quoting(lines, delimiter)
    if quoting.quoted:
        note = "quoted"
    else:
        num_lines = sum('"' in line for line in lines)
        note = f"quotes are text (on {num_lines:,} lines)" if num_lines else "no quotes"
    encoding = ", UTF-16" if text.encoding == "utf-16" else ""
    notes = (f"{DELIMITERS.get(delimiter, repr(delimiter))}-separated, {note}{encoding}",)
    return Table(str(path), lambda: parse_lines(lines, delimiter, **quoting._asdict()), notes=notes)


def _read_jsonl(path: Path) -> Table:
    lines = TextLines.of(path)
    with open_bytes(path) as file:
        beginning = file.read(1024).decode(errors="replace").lstrip("\ufeff \t\r\n")
    if beginning.startswith("["):
        raise DataError(
            f"{path}, line 1: a JSON array; expected one object such as {{...}} per line. {_convert(lines)}"
        )
    sample = islice((line for line in lines if line.strip()), _SAMPLE)
    header = tuple(dict.fromkeys(key for line in sample for key in _parse_object(line)[0]))
    return Table(str(path), partial(_objects, lines, header), header=header, notes=("one JSON object per line",))


def _convert(lines: TextLines) -> str:
    """Return how to make objects of a file that is one array, or of one that has an array a line."""
    first = [
        line for line in islice((line for line in lines if line.strip()), 2) if isinstance(_json_or_none(line), list)
    ]
    name = lines.path.name
    if len(first) < 2:
        return f"Convert it: jq -c '.[]' {name}"
    return (
        "It has an array a line, without names of columns; give it names. Triplets of anchor, positive and negative "
        'become the rows of NLI by jq -c \'{premise: .[0], hypothesis: .[1], label: "entailment"}, {premise: .[0], '
        f'hypothesis: .[2], label: "contradiction"}}\' {name}'
    )


def _json_or_none(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _objects(lines: TextLines, header: tuple[str, ...]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            parsed, fault = _parse_object(line)
            yield Record(number, tuple(map(parsed.get, header)), fault)


def _parse_object(line: str) -> tuple[dict[str, Any], str]:
    try:
        parsed = json.loads(line)
    except json.JSONDecodeError as error:
        return (
            {},
            f"invalid JSON ({error.msg} at character {error.pos + 1}); expected one object such as {{...}} per line",
        )
    except (ValueError, RecursionError) as error:
        return {}, f"JSON that cannot be read ({error}); expected one object such as {{...}} per line"
    if not isinstance(parsed, dict):
        return {}, f"JSON {type(parsed).__name__} {line.strip()[:40]!r}; expected an object such as {{...}}"
    return parsed, ""


FORMATS: dict[str, Callable[[Path], Table]] = {
    ".csv": partial(_read_delimited, ","),
    ".tsv": partial(_read_delimited, "\t"),
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_jsonl,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
}
