"""Tables in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size

from rich import box
from rich.console import Console
from rich.table import Table

_WIDEST = 160


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table as lines, as wide as the terminal, 160 characters at most."""
    table = Table(*header, box=box.SIMPLE)
    for row in rows:
        table.add_row(*row)
    console = Console(
        width=_WIDEST if not sys.stdout.isatty() else min(_WIDEST, get_terminal_size().columns),
        color_system=None,
        highlight=False,
        markup=False,
    )
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines() if line.strip()]
