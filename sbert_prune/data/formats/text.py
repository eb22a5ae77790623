"""The lines of a text file, decoded as they are read, however large the file is."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Self

from sbert_prune.data.files import opened
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
