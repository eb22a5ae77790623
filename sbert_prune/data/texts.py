"""Plain text files, read as sentences."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from sbert_prune.data.formats.read import is_data_file
from sbert_prune.data.formats.text import TextLines, check_file, split_suffixes
from sbert_prune.data.normalise import clean
from sbert_prune.errors import DataError


def load_texts(path: Path) -> Iterator[str]:
    """Return the sentences of a text file, decompressed if its name ends in .gz, .xz or .zst; blank lines are skipped.

    Raises:
        DataError: The path is not a text file, the file is empty, or it is damaged before the first sentence. Damage
            after it raises while the sentences are read, with line and byte.
    """
    check_file(path, expected="one text file, one sentence a line")
    if is_data_file(path):
        raise DataError(
            f"{path} is a table ({split_suffixes(path)[0]}); expected plain text. Write its sentences into a .txt "
            "file, one sentence a line."
        )
    sentences = _sentences(path)
    try:
        first = next(sentences)
    except StopIteration:
        raise DataError(f"{path} holds no text, only blank lines at most; expected one sentence a line.") from None
    return chain((first,), sentences)


def _sentences(path: Path) -> Iterator[str]:
    for line in TextLines.of(path):
        yield from (sentence for part in line.split("\r") if (sentence := clean(part)))
