"""The first rows of a data file as a file of their own: enough to tell how it is understood, however large it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sbert_prune.data.files import split_suffixes
from sbert_prune.data.formats.read import read_table
from sbert_prune.data.formats.text import TextLines

_ROWS = 1_000
_SMALL = 200_000  # bytes: such a file is read whole
_TEXT = (".csv", ".tsv", ".jsonl", ".ndjson")
_LAST = 50
"""Lines at the end of a beginning, of which one may begin a row that goes on behind it."""


@dataclass(frozen=True)
class Beginning:
    """path: what is read instead of `origin`.  num_lines: None where it is the whole file.  format: where `path` does not show it."""

    path: Path
    origin: Path
    num_lines: int | None = None
    format: str = ""

    def told(self, message: str) -> str:
        """A message about it, said of the file that it is of."""
        return message.replace(str(self.path), str(self.origin))

    def is_of_its_end(self, message: str) -> bool:
        """Whether a message about a row says nothing, as the row may only have been cut off."""
        place = re.match(rf"{re.escape(str(self.path))}, \w+ (\d+)", message)
        return self.num_lines is not None and place is not None and int(place[1]) > self.num_lines - _LAST


def beginning_of(path: Path, folder: Path) -> Beginning:
    """The beginning of a file, or of a folder that `datasets` saved. folder: where it is written; it must exist.

    Raises DataError for a file that cannot be read.
    """
    suffix, compression = split_suffixes(path)
    if path.is_file() and not compression and path.stat().st_size <= _SMALL:
        return Beginning(path, path)
    if path.is_file() and suffix in _TEXT:
        lines = list(islice(TextLines.of(path), _ROWS))
        target = folder / f"{path.name.split('.')[0]}{suffix}"
        with target.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
        return Beginning(target, path, len(lines) if len(lines) == _ROWS else None)
    return _records_of(path, folder)


def _records_of(path: Path, folder: Path) -> Beginning:
    """Formats that are no lines are written as lines of JSON, numbers that stand for words as the words."""
    table = read_table(path)
    records = list(islice(table.records(), _ROWS))
    if table.header is None:
        return Beginning(path, path)
    target = folder / f"{path.name.split('.')[0]}.jsonl"
    with target.open("w", encoding="utf-8") as file:
        for record in records:
            named = zip(table.header, record.cells, strict=True)
            file.write(json.dumps({name: _word(cell, table.names.get(name, ())) for name, cell in named}, default=str) + "\n")
    return Beginning(target, path, format=table.notes[0])


def _word(cell: object, words: tuple[str, ...]) -> object:
    return words[cell] if isinstance(cell, int) and 0 <= cell < len(words) else cell
