"""The lines of a text file, decoded as they are read, however large the file is."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from io import BufferedReader, TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, Self, cast

from sbert_prune.data.normalise import clean
from sbert_prune.errors import DataError


def _open_zst(path: Path) -> IO[bytes]:
    import pyarrow

    return BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))


_OPENERS: dict[str, Callable[[Path], IO[bytes]]] = {
    "": lambda path: path.open("rb"),
    ".gz": lambda path: cast("IO[bytes]", gzip.open(path, "rb")),  # noqa: SIM115 - `opened` closes it
    ".xz": lambda path: lzma.open(path, "rb"),  # noqa: SIM115 - likewise
    ".zst": _open_zst,
}

COMPRESSIONS = tuple(suffix for suffix in _OPENERS if suffix)
"""The endings of compressed files that can be read."""


def split_suffixes(path: Path) -> tuple[str, str]:
    """The suffix of the format and of the compression: "train.csv.gz" gives (".csv", ".gz")."""
    inner = path.with_suffix("")
    last = path.suffix.lower()
    return (inner.suffix.lower(), last) if last in COMPRESSIONS else (last, "")


def stem_of(name: str) -> str:
    """A file's name without its format and compression: "snli_1.0_train.csv.gz" gives "snli_1.0_train"."""
    path = Path(name)
    suffix, compression = split_suffixes(path)
    return path.name[: len(path.name) - len(suffix) - len(compression)]


def names_like(path: Path) -> str:
    """A hint for a path that does not exist: near names in the nearest folder that does, or what stands there."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    wanted = path.absolute().relative_to(folder).parts[0]
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = get_close_matches(wanted, names, n=2)
    if near:
        return f"Did you mean {' or '.join(str(folder / name) for name in near)}?"
    return f"{folder} holds {', '.join(names[:8]) + (', ...' if len(names) > 8 else '') if names else 'nothing'}."


def check_file(path: Path, *, expected: str) -> None:
    """Refuse what cannot be read at all. expected: what should be there, such as "rows".

    Raises DataError for a missing, unreadable or empty file, and for a folder.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected {expected}.")
    if not path.exists():
        raise DataError(f"{path} does not exist. {names_like(path)}")
    if not path.is_file():
        raise DataError(f"{path} is not a regular file; expected {expected}.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    if empty:
        raise DataError(f"{path} is empty (0 bytes); expected {expected}.")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed as they are read when its name ends in .gz, .xz or .zst.

    Raises DataError, also while reading, for a file that is damaged or cannot be read.
    """
    _, compression = split_suffixes(path)
    try:
        with _OPENERS[compression](path) as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        what = f"truncated or not a {compression} file" if compression else "not readable"
        raise DataError(f"{path} is {what} ({error}). Copy it again from where it came from.") from error


_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

_NOT_TEXT = {
    b"\xff\xfe\0\0": "text in UTF-32; save it again as UTF-8",
    b"\0\0\xfe\xff": "text in UTF-32; save it again as UTF-8",
    b"BZh": "a bzip2 file; unpack it, or pack it as .gz, .xz or .zst",
    b"\x1f\x8b": "a gzip file; let its name end in .gz",
    b"\xfd7zXZ": "an xz file; let its name end in .xz",
    b"\x28\xb5\x2f\xfd": "a zstd file; let its name end in .zst",
    b"PK\x03\x04": "a zip or Excel file; unpack it, or save it as csv",
    b"PAR1": "a parquet file; let its name end in .parquet",
    b"ARROW1": "an Arrow file; let its name end in .arrow",
}
"""What a file is that begins so."""

_HEAD = 1 << 20
"""Bytes that tell how lines end."""

_LONGEST = 1 << 24
"""Characters of the longest line: what is longer is neither a row nor a sentence, and would fill the memory."""


@dataclass(frozen=True)
class TextLines:
    """A text file's physical lines with their ends, read anew by each iteration.

    Attributes:
        path: The file.
        encoding: UTF-8 with or without a byte order mark, or UTF-16 with one.
        end: What ends a line; only real line ends count, not the other separators that str.splitlines knows.
        longest: How many characters a line may have.
    """

    path: Path
    encoding: str
    end: str
    longest: int = _LONGEST

    @classmethod
    def of(cls, path: Path, *, longest: int = _LONGEST) -> Self:
        """Look at the beginning of a file, decompressed when its name says so. Raises DataError for what is no text."""
        with opened(path) as file:
            head = file.read(_HEAD)
        if other := next((kind for start, kind in _NOT_TEXT.items() if head.startswith(start)), None):
            raise DataError(f"{path}, line 1, byte 1: expected text in UTF-8, but the file begins like {other}.")
        encoding = "utf-16" if head.startswith(_UTF_16) else "utf-8-sig"
        return cls(path, encoding, "\n" if b"\n" in head or b"\r" not in head else "\r", longest)

    def __iter__(self) -> Iterator[str]:
        """The lines. Raises DataError, with line and byte, for another encoding, a NUL byte, or a line without an end."""
        try:
            for number, line in enumerate(self.decoded(errors="strict"), start=1):
                if "\0" in line:
                    place = f"line {number}, byte {len(line[: line.index(chr(0))].encode()) + 1}"
                    advice = "The file is damaged or not a text file; text in UTF-16 needs a byte order mark."
                    raise DataError(f"{self.path}, {place}: a NUL byte; expected text in UTF-8. {advice}")
                if len(line) > self.longest:
                    raise DataError(
                        f"{self.path}, line {number} is longer than {self.longest >> 20} MiB; expected a row or a sentence a line."
                    )
                yield line
        except UnicodeDecodeError as error:
            raise DataError(self._undecodable()) from error

    def decoded(self, errors: str) -> Iterator[str]:
        """The lines, unchecked; what is not in the file's encoding is marked as `errors` says (see `codecs`)."""
        with opened(self.path) as file, TextIOWrapper(file, encoding=self.encoding, errors=errors, newline=self.end) as text:
            while line := text.readline(self.longest + 1):
                yield line

    def _undecodable(self) -> str:
        """Where the first wrong byte stands: read again, with wrong bytes marked, because the decoder counts no lines."""
        marks = "\ufffd" if self.encoding == "utf-16" else "".join(map(chr, range(0xDC80, 0xDD00)))
        errors = "replace" if self.encoding == "utf-16" else "surrogateescape"
        for number, line in enumerate(self.decoded(errors), start=1):
            found = next((place for place, character in enumerate(line) if character in marks), None)
            if found is not None and errors == "surrogateescape":
                place = f"line {number}, byte {len(line[:found].encode(errors='surrogateescape')) + 1}"
                wrong = f"the byte 0x{ord(line[found]) - 0xDC00:02x} is not UTF-8"
                guess = "UTF-16 without a byte order mark" if "\0" in line else "Latin-1 or Windows-1252"
                return f"{self.path}, {place}: {wrong}. Save the file again as UTF-8 (it may be in {guess})."
            if found is not None:
                break
        return f"{self.path}, line {number}: begins as UTF-16, but this line is none. Save the file again as UTF-8."


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
