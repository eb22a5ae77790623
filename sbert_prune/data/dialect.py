"""Which delimiter and quoting a text has, decided by evidence from all its lines."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from sbert_prune.data.delimited import parse_lines, usual_width

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

_SAMPLE = 500


def choose_delimiter(lines: Iterable[str], *, likely: str = ",") -> str:
    """The delimiter that gives the most of the first lines one same number of cells, at least three; the likely one when none does."""
    sample = list(islice(lines, _SAMPLE))
    order = sorted(DELIMITERS, key=lambda delimiter: delimiter != likely)
    return max(order, key=lambda delimiter: _regularity(sample, delimiter))


def reads_as_quoted(lines: Iterable[str], delimiter: str) -> bool:
    """Whether double quotes in a tab-separated file are csv quoting rather than part of the sentences.

    They are quoting when cells with doubled inner quotes outnumber cells that no csv writer makes, when most lines have
    wrapped cells, or when no cell speaks against it. Else the reading with regular records is right: only quoting keeps
    cells together that span lines, and a stray quote read as quoting swallows rows.
    """
    num_lines = wrapped = stray = escaped = 0
    for line in lines:
        num_lines += 1
        if '"' not in line:
            continue
        for cell in line.rstrip("\r\n").split(delimiter):
            if '"' not in cell:
                continue
            if _is_wrapped(cell):
                wrapped += 1
                escaped += '""' in cell[1:-1]
            else:
                stray += 1
    if not wrapped and not stray:
        return False
    wrapped_throughout = 2 * wrapped >= num_lines and wrapped >= 9 * stray
    if not stray or escaped > stray or wrapped_throughout:
        return True
    return _is_more_regular(_Reading.of(lines, delimiter, quoted=True), _Reading.of(lines, delimiter, quoted=False))


class _Reading(NamedTuple):
    """How regular the records of one reading are. usual: records with the most frequent width.  swallowed: cells that look like lines."""

    total: int
    width: int
    usual: int
    swallowed: bool

    @classmethod
    def of(cls, lines: Iterable[str], delimiter: str, *, quoted: bool) -> "_Reading":
        widths: Counter[int] = Counter()
        total, swallowed = 0, False
        for record in parse_lines(lines, delimiter, quoted=quoted):
            total += 1
            if not record.fault:
                widths[len(record.cells)] += 1
                swallowed |= any("\n" in cell and delimiter in cell for cell in record.cells if isinstance(cell, str))
        width, usual = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        return cls(total, width, usual, swallowed)

    @property
    def is_flawless(self) -> bool:
        """Whether all records have one width and no cell holds swallowed lines, which hold delimiters."""
        return self.width >= 3 and self.usual == self.total and not self.swallowed


def _is_more_regular(quoted: _Reading, plain: _Reading) -> bool:
    if quoted.is_flawless and not plain.is_flawless:
        return True
    return quoted.usual >= plain.usual and quoted.total - quoted.usual < plain.total - plain.usual


def _is_wrapped(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


def _regularity(lines: list[str], delimiter: str) -> float:
    quoted = delimiter != "\t" or reads_as_quoted(lines, delimiter)
    records = list(parse_lines(lines, delimiter, quoted=quoted))
    width, count = usual_width(records)
    return count / len(records) if width >= 3 else 0.0
