"""Plain text, one sentence a line: read line by line, however large the file is."""

import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, cast

from sbert_prune.data.files import decode, names_like, split_suffixes
from sbert_prune.errors import DataError

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".xls", ".xlsx", ".ods")
_PACKED = (".zip", ".bz2", ".zst", ".7z", ".tar", ".tgz")

_LONGEST = 1 << 24
"""Bytes of the longest line: what is longer is no sentence, and would fill the memory."""


def load_texts(path: Path) -> Iterator[str]:
    """The sentences of a text file in UTF-8, decompressed when its name ends in .gz or .xz; blank lines are skipped.

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
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected one text file, one sentence a line.")
    if not path.exists():
        raise DataError(f"{path} does not exist. {names_like(path)}")
    if not path.is_file():
        raise DataError(f"{path} is not a regular file; give a text file, one sentence a line.")
    suffix, _ = split_suffixes(path)
    if suffix in _TABLES:
        raise DataError(f"{path} is a table ({suffix}); expected plain text. Write its sentences into a .txt file, one sentence a line.")
    if suffix in _PACKED:
        raise DataError(f"{path} is packed as {suffix}; expected text, plain or as .gz or .xz. Unpack it first.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    if empty:
        raise DataError(f"{path} is empty (0 bytes); expected one sentence a line.")


def _sentences(path: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(path), start=1):
        text = _decoded(path, line, number)
        yield from (sentence for part in text.split("\r") if (sentence := part.strip()))


def _decoded(path: Path, line: bytes, number: int) -> str:
    """One line as text; the reader of whole files says what is wrong with the first, or with a later one in its place."""
    if not line.removeprefix(codecs.BOM_UTF8).strip():
        return ""
    if number == 1:
        return decode(path, line)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    return decode(path, b"\n" * (number - 1) + line) if "\0" in text else text


def _lines(path: Path) -> Iterator[bytes]:
    _, compression = split_suffixes(path)
    try:
        with _open(path, compression) as file:
            number = 0
            while line := file.readline(_LONGEST + 1):
                number += 1
                if len(line) > _LONGEST:
                    raise DataError(
                        f"{path}, line {number} is longer than {_LONGEST >> 20} MiB; expected one sentence a line. "
                        "Split the text into sentences first."
                    )
                yield line
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        what = f"truncated or not a {compression} file" if compression else "not readable"
        raise DataError(f"{path} is {what} ({error}). Copy it again from where it came from.") from error


def _open(path: Path, compression: str) -> IO[bytes]:
    if compression == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return lzma.open(path, "rb") if compression == ".xz" else path.open("rb")
