"""The bytes of one data file, plain or compressed, read as a stream."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

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
