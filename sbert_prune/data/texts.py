"""Plain text, one sentence a line: read line by line, however large the file is."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from sbert_prune.data.files import check_file, split_suffixes
from sbert_prune.data.formats.text import TextLines
from sbert_prune.data.normalise import clean
from sbert_prune.errors import DataError

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".xls", ".xlsx", ".ods")
_PACKED = (".zip", ".bz2", ".7z", ".tar", ".tgz")


def load_texts(path: Path) -> Iterator[str]:
    """The sentences of a text file, decompressed when its name ends in .gz, .xz or .zst; blank lines are skipped.

    Raises DataError at once for a path that is no text file, an empty file, or damage before the first sentence;
    later, with line and byte, for damage behind it.
    """
    _check_path(path)
    sentences = _sentences(path)
    try:
        first = next(sentences)
    except StopIteration:
        raise DataError(f"{path} holds no text, only blank lines at most; expected one sentence a line.") from None
    return chain((first,), sentences)


def _check_path(path: Path) -> None:
    check_file(path, expected="one text file, one sentence a line")
    suffix, _ = split_suffixes(path)
    if suffix in _TABLES:
        raise DataError(f"{path} is a table ({suffix}); expected plain text. Write its sentences into a .txt file, one sentence a line.")
    if suffix in _PACKED:
        raise DataError(f"{path} is packed as {suffix}; expected text, plain or as .gz, .xz or .zst. Unpack it first.")


def _sentences(path: Path) -> Iterator[str]:
    for line in TextLines.of(path):
        yield from (sentence for part in line.split("\r") if (sentence := clean(part)))
