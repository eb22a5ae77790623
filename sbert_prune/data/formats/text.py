"""Text files of any size: opened with or without compression, checked, and read as decoded lines."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import IO, Self, cast

from sbert_prune.errors import DataError

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
"""The first bytes of files that are not text, and what these files are."""

_HEAD_BYTES = 1 << 20
"""The line end is detected in so many bytes."""

_MAX_LINE_LENGTH = 1 << 24
"""In characters: a longer line is neither a row nor a sentence, and would fill the memory."""


def _open_zst(path: Path) -> IO[bytes]:
    import pyarrow

    return BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))


_OPENERS: dict[str, Callable[[Path], IO[bytes]]] = {
    "": lambda path: path.open("rb"),
    ".gz": lambda path: cast("IO[bytes]", gzip.open(path, "rb")),  # noqa: SIM115 - `open_bytes` closes it
    ".xz": lambda path: lzma.open(path, "rb"),  # noqa: SIM115 - likewise
    ".zst": _open_zst,
}

COMPRESSIONS = tuple(suffix for suffix in _OPENERS if suffix)
"""The endings of compressed files that can be read."""


def split_suffixes(path: Path) -> tuple[str, str]:
    """Return the suffixes of format and compression: "train.csv.gz" gives (".csv", ".gz")."""
    inner = path.with_suffix("")
    last = path.suffix.lower()
    return (inner.suffix.lower(), last) if last in COMPRESSIONS else (last, "")


def stem_of(name: str) -> str:
    """Return a file's name without format and compression: "snli_1.0_train.csv.gz" gives "snli_1.0_train"."""
    path = Path(name)
    suffix, compression = split_suffixes(path)
    return path.name[: len(path.name) - len(suffix) - len(compression)]


def names_like(path: Path) -> str:
    """Return a hint for a path that does not exist: similar names in the nearest existing folder, or its contents."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    missing = path.absolute().relative_to(folder).parts[0]
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = get_close_matches(missing, names, n=2)
    if near:
        return f"Did you mean {' or '.join(str(folder / name) for name in near)}?"
    return f"{folder} holds {', '.join(names[:8]) + (', ...' if len(names) > 8 else '') if names else 'nothing'}."


def check_file(path: Path, *, expected: str) -> None:
    """Check that a file can be read.

    Args:
        path: The file.
        expected: The contents that a message asks for, such as "rows".

    Raises:
        DataError: The file is missing, unreadable or empty, or a folder.
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
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file as bytes, decompressed while they are read if its name ends in .gz, .xz or .zst.

    Raises:
        DataError: The file is damaged or cannot be read; also raised while reading.
    """
    _, compression = split_suffixes(path)
    try:
        with _OPENERS[compression](path) as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        what = f"truncated or not a {compression} file" if compression else "not readable"
        raise DataError(f"{path} is {what} ({error}). Copy it again from its source.") from error


@dataclass(frozen=True)
class TextLines:
    """A text file's physical lines with their line ends; each iteration reads the file again.

    Attributes:
        path: The file.
        encoding: UTF-8 with or without a byte order mark, or UTF-16 with one.
        end: The line end, "\\n" or "\\r"; the other separators of str.splitlines do not end a line.
        longest: How many characters a line may have.
    """

    path: Path
    encoding: str
    end: str
    longest: int = _MAX_LINE_LENGTH

    @classmethod
    def of(cls, path: Path, *, longest: int = _MAX_LINE_LENGTH) -> Self:
        """Detect encoding and line end of a file, compressed or not. Raises DataError for a file that is not text."""
        with open_bytes(path) as file:
            head = file.read(_HEAD_BYTES)
        if other := next((kind for start, kind in _NOT_TEXT.items() if head.startswith(start)), None):
            raise DataError(f"{path}, line 1, byte 1: expected text in UTF-8, but the file begins like {other}.")
        encoding = "utf-16" if head.startswith(_UTF_16) else "utf-8-sig"
        return cls(path, encoding, "\n" if b"\n" in head or b"\r" not in head else "\r", longest)

    def __iter__(self) -> Iterator[str]:
        """Yield the lines. Raises DataError, with the place, for another encoding, a NUL byte, or an overlong line."""
        try:
            for number, line in enumerate(self.decoded(errors="strict"), start=1):
                if "\0" in line:
                    place = f"line {number}, byte {len(line[: line.index(chr(0))].encode()) + 1}"
                    advice = "The file is damaged or not a text file; text in UTF-16 needs a byte order mark."
                    raise DataError(f"{self.path}, {place}: a NUL byte; expected text in UTF-8. {advice}")
                if len(line) > self.longest:
                    raise DataError(
                        f"{self.path}, line {number} is longer than {self.longest >> 20} MiB; expected a row or a "
                        "sentence a line."
                    )
                yield line
        except UnicodeDecodeError as error:
            raise DataError(self._undecodable()) from error

    def decoded(self, errors: str) -> Iterator[str]:
        """Yield the lines unchecked; `errors` is the codec's error handler for wrong bytes (see `codecs`)."""
        with (
            open_bytes(self.path) as file,
            TextIOWrapper(file, encoding=self.encoding, errors=errors, newline=self.end) as text,
        ):
            while line := text.readline(self.longest + 1):
                yield line

    def _undecodable(self) -> str:
        """Return a message about the first wrong byte; reads the file again, because the decoder counts no lines."""
        marks = "\ufffd" if self.encoding == "utf-16" else "".join(map(chr, range(0xDC80, 0xDD00)))
        errors = "replace" if self.encoding == "utf-16" else "surrogateescape"
        for number, line in enumerate(self.decoded(errors), start=1):
            index = next((index for index, character in enumerate(line) if character in marks), None)
            if index is not None and errors == "surrogateescape":
                place = f"line {number}, byte {len(line[:index].encode(errors='surrogateescape')) + 1}"
                wrong = f"the byte 0x{ord(line[index]) - 0xDC00:02x} is not UTF-8"
                guess = "UTF-16 without a byte order mark" if "\0" in line else "Latin-1 or Windows-1252"
                return f"{self.path}, {place}: {wrong}. Save the file again as UTF-8 (it may be in {guess})."
            if index is not None:
                break
        return f"{self.path}, line {number}: begins as UTF-16, but this line is none. Save the file again as UTF-8."
