"""The bytes of one data file, plain or compressed."""

import gzip
import lzma
import zlib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from sbert_prune.errors import DataError

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress}

_NOT_TEXT = {
    b"\xff\xfe": "text in UTF-16; save it again as UTF-8",
    b"\xfe\xff": "text in UTF-16; save it again as UTF-8",
    b"\x1f\x8b": "a gzip file; let its name end in .gz",
    b"\xfd7zXZ": "an xz file; let its name end in .xz",
    b"PK\x03\x04": "a zip or Excel file; unpack it, or save it as csv",
    b"PAR1": "a parquet file; let its name end in .parquet",
}
"""What a file is that begins so."""


def split_suffixes(path: Path) -> tuple[str, str]:
    """The suffix of the format and of the compression: "train.csv.gz" gives (".csv", ".gz")."""
    inner = path.with_suffix("")
    last = path.suffix.lower()
    return (inner.suffix.lower(), last) if last in COMPRESSIONS else (last, "")


def names_like(path: Path) -> str:
    """A hint for a path that does not exist: near names in the nearest folder that does, or what stands there."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    wanted = path.absolute().relative_to(folder).parts[0]
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = get_close_matches(wanted, names, n=2)
    if near:
        return f"Did you mean {' or '.join(str(folder / name) for name in near)}?"
    return f"{folder} holds {', '.join(names[:8]) + (', ...' if len(names) > 8 else '') if names else 'nothing'}."


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed when its name ends in .gz or .xz.

    Raises DataError for a missing, unreadable, empty or damaged file, and for a folder.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected one file.")
    if not path.exists():
        raise DataError(f"{path} does not exist. {names_like(path)}")
    if not path.is_file():
        raise DataError(f"{path} is not a regular file; give a csv, tsv, jsonl or parquet file.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    if not data:
        raise DataError(f"{path} is empty (0 bytes); expected rows.")
    return _decompress(path, data)


def _decompress(path: Path, data: bytes) -> bytes:
    _, compression = split_suffixes(path)
    if not compression:
        return data
    try:
        return COMPRESSIONS[compression](data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path} is truncated or not a {compression} file ({error}). Copy it again from where it came from.") from error


def decode(path: Path, data: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises DataError, with line and byte, for another encoding, a NUL byte, or a file without text.
    """
    if other := next((kind for start, kind in _NOT_TEXT.items() if data.startswith(start)), None):
        raise DataError(f"{path}, line 1, byte 1: expected text in UTF-8, but the file begins like {other}.")
    if (position := data.find(b"\0")) >= 0:
        raise DataError(f"{path}, {_place(data, position)}: a NUL byte; expected text in UTF-8. The file is damaged or not a text file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise DataError(
            f"{path}, {_place(data, error.start)}: {found}. Save the file again as UTF-8 (it may be in Latin-1 or Windows-1252)."
        ) from error
    if not text.strip():
        raise DataError(f"{path} holds no text, only blank lines at most; expected rows.")
    return text


def _place(data: bytes, position: int) -> str:
    line = data.count(b"\n", 0, position) + 1
    byte = position - data.rfind(b"\n", 0, position)
    return f"line {line}, byte {byte}"
