"""Text files with a label and a text a line, as the SentEval sets and fastText have them."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from sbert_prune.data.files import check_file, split_suffixes
from sbert_prune.data.formats.delimited import parse_lines
from sbert_prune.data.formats.table import Record, Table
from sbert_prune.data.formats.text import TextLines
from sbert_prune.data.normalise import clean
from sbert_prune.errors import DataError

HEADER = ("label", "text")

_SAMPLE = 500
_PREFIX = "__label__"  # fastText's


def is_text_file(path: Path) -> bool:
    """Whether the name ends in .txt, also with .gz, .xz or .zst."""
    return split_suffixes(path)[0] == ".txt"


def read_labelled_lines(path: Path) -> Table:
    """A table with the columns label and text; one without a header where most lines hold a tab.

    A line that is not UTF-8 is a record that cannot be read: sets of the 1990s have a few in Latin-1.

    Raises DataError for a file that is missing, empty or no text.
    """
    check_file(path, expected="one text a line, with its label before it")
    lines = TextLines.of(path)
    sample = list(islice((line for line in _checked(lines) if not line.fault), _SAMPLE))
    if not sample:
        first = next(_checked(lines), None)
        raise DataError(f"{path}, line {first.line}: {first.fault}." if first else f"{path} holds no text, only blank lines at most.")
    if 2 * sum("\t" in str(line.cells[0]).strip() for line in sample) > len(sample):
        return Table(str(path), partial(_tabs, lines), notes=("tab-separated, no quotes",))
    return Table(str(path), partial(_labels, lines), header=HEADER, notes=("one label and text a line",))


def _checked(lines: TextLines) -> Iterator[Record]:
    """Each line that is not blank as a record of one cell."""
    is_utf_8 = lines.encoding != "utf-16"
    for number, line in enumerate(lines.decoded("surrogateescape") if is_utf_8 else lines, start=1):
        if line.strip():
            yield Record(number, (line,), _fault(line))


def _fault(line: str) -> str:
    if "\0" in line:
        return "a NUL byte; expected text in UTF-8"
    wrong = next((character for character in line if "\udc80" <= character <= "\udcff"), None)
    if wrong is None:
        return ""
    return f"the byte 0x{ord(wrong) - 0xDC00:02x} is not UTF-8; the file may be in Latin-1 or Windows-1252: save it again as UTF-8"


def _tabs(lines: TextLines) -> Iterator[Record]:
    for line in _checked(lines):
        if line.fault:
            yield line
        else:
            yield from (record._replace(line=line.line) for record in parse_lines(map(str, line.cells), "\t", quoted=False))


def _labels(lines: TextLines) -> Iterator[Record]:
    for line in _checked(lines):
        label, *text = clean(str(line.cells[0])).split(None, 1)
        fault = line.fault or ("" if text else f"{label[:40]!r} stands alone; expected a label, a blank and a text")
        yield Record(line.line, (label.removeprefix(_PREFIX), *text), fault)
