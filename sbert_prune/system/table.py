"""Tables for the terminal, as lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size

WIDEST = 160


def table_lines(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, width: int | None = None, shortens: bool = False
) -> list[str]:
    """Return a table as lines.

    Args:
        header: The names of the columns.
        rows: The cells of each row.
        width: Number of characters of a line; by default as wide as the terminal, at most WIDEST.
        shortens: Whether cells are shortened, except in the last column, and not folded.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=box.SIMPLE)
    for column in table.columns[:-1] if shortens else ():
        column.no_wrap, column.overflow, column.ratio = True, "ellipsis", 1
    for row in rows:
        table.add_row(*row)
    width = width or (min(WIDEST, get_terminal_size().columns) if sys.stdout.isatty() else WIDEST)
    console = Console(width=width, color_system=None, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines() if line.strip()]


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines without rules, with two blanks between the columns."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
