"""Which delimiter and quoting a text has, decided by evidence from all its lines."""

from collections.abc import Sequence

from sbert_prune.data.delimited import parse_lines, usual_width
from sbert_prune.data.tables import Record

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

_SAMPLE = 500


def choose_delimiter(lines: Sequence[str]) -> str:
    """The delimiter that gives the most of the first lines one same number of cells, at least three; a comma when none does."""
    return max(DELIMITERS, key=lambda delimiter: _regularity(lines[:_SAMPLE], delimiter))


def reads_as_quoted(lines: Sequence[str], delimiter: str) -> bool:
    """Whether double quotes in a tab-separated file are csv quoting rather than part of the sentences.

    They are quoting when cells with doubled inner quotes outnumber cells that no csv writer makes, when most lines have
    wrapped cells, or when no cell speaks against it. Else the reading with regular records is right: only quoting keeps
    cells together that span lines, and a stray quote read as quoting swallows rows.
    """
    cells = [cell for line in lines if '"' in line for cell in line.rstrip("\r\n").split(delimiter) if '"' in cell]
    if not cells:
        return False
    wrapped = [cell for cell in cells if _is_wrapped(cell)]
    stray = len(cells) - len(wrapped)
    escaped = sum('""' in cell[1:-1] for cell in wrapped)
    wrapped_throughout = 2 * len(wrapped) >= len(lines) and len(wrapped) >= 9 * stray
    if not stray or escaped > stray or wrapped_throughout:
        return True
    quoted, plain = list(parse_lines(lines, delimiter, quoted=True)), list(parse_lines(lines, delimiter, quoted=False))
    return _is_more_regular(quoted, plain, delimiter)


def _is_more_regular(quoted: Sequence[Record], plain: Sequence[Record], delimiter: str) -> bool:
    if _is_flawless(quoted, delimiter) and not _is_flawless(plain, delimiter):
        return True
    (_, quoted_usual), (_, plain_usual) = usual_width(quoted), usual_width(plain)
    return quoted_usual >= plain_usual and len(quoted) - quoted_usual < len(plain) - plain_usual


def _is_flawless(records: Sequence[Record], delimiter: str) -> bool:
    """Whether all records have one width and no cell looks like swallowed lines, which hold delimiters."""
    width, count = usual_width(records)
    swallowed = any("\n" in cell and delimiter in cell for record in records for cell in record.cells if isinstance(cell, str))
    return width >= 3 and count == len(records) and not swallowed


def _is_wrapped(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


def _regularity(lines: Sequence[str], delimiter: str) -> float:
    quoted = delimiter != "\t" or reads_as_quoted(lines, delimiter)
    records = list(parse_lines(lines, delimiter, quoted=quoted))
    width, count = usual_width(records)
    return count / len(records) if width >= 3 else 0.0
