"""What was understood about data, in lines for people."""

from collections.abc import Iterable, Sequence
from itertools import islice
from shutil import get_terminal_size

from sbert_prune.data.rows import LabelledData, LabelledRows, NliRow, Row, RowSet, StsRow

_ROWS = 3
_WIDEST = 120


def describe_rows(split: str, rows: RowSet[Row]) -> list[str]:
    """Lines about one split: where it lies, its rows, what was left out, what was understood; three skipped rows among them."""
    counts = [f"{len(rows):,} rows"]
    counts += [f"{rows.num_unlabelled:,} without a gold label left out"] if rows.num_unlabelled else []
    counts += [f"{rows.num_skipped:,} bad row{'s' * (rows.num_skipped != 1)} skipped"] if rows.num_skipped else []
    counts += [f"{rows.num_leaks:,} that stand in dev or test too left out"] if rows.num_leaks else []
    understood = f" ({'; '.join(rows.notes)})" if rows.notes else ""
    return [f"{split}: {rows.source}: {', '.join(counts)}{understood}", *(f"  skipped: {message}" for message in rows.skipped[:3])]


def preview(rows: RowSet[Row]) -> list[str]:
    """The first three rows as a table: a column taken for another one is seen here, before anything is trained."""
    shown: list[NliRow | StsRow] = list(islice(rows.rows, _ROWS))
    is_nli = isinstance(shown[0], NliRow)
    return table_of(("premise", "hypothesis", "label") if is_nli else ("sentence1", "sentence2", "score"), map(_cells, shown))


def table_of(names: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table that fits the terminal: sentences, cut where they are long, and behind them what is said of them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*names, box=box.SIMPLE)
    for column in table.columns[:-1]:
        column.no_wrap, column.overflow, column.ratio = True, "ellipsis", 1
    for row in rows:
        table.add_row(*row)
    console = Console(width=min(_WIDEST, get_terminal_size().columns), color_system=None, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    return [f"  {line.rstrip()}" for line in captured.get().splitlines() if line.strip()]


def _cells(row: NliRow | StsRow) -> Iterable[str]:
    said = row.label.value if isinstance(row, NliRow) else f"{row.score:.2f}"
    return (*row.sentences, said)


_CLASSES = 8


def describe_labelled(data: LabelledData) -> list[str]:
    """Lines about the splits: where they lie, their rows and classes, what was left out, what was understood; skipped rows among them."""
    lines = [line for split, rows in data.splits.items() for line in _describe(split if data.train else "all", rows)]
    return [*lines, *(f"  {note}" for note in data.notes)]


def preview_labelled(data: LabelledData) -> list[str]:
    """Three rows as a table: a column taken for the other one is seen here."""
    return table_of(("text", "label"), (row.content() for row in (data.train or data.test).rows[:_ROWS]))


def _describe(split: str, rows: LabelledRows) -> list[str]:
    counts = [f"{len(rows):,} rows in {len(rows.class_sizes):,} classes ({_largest(rows)})"]
    counts += [f"{rows.num_skipped:,} bad row{'s' * (rows.num_skipped != 1)} skipped"] if rows.num_skipped else []
    counts += [f"{rows.num_leaks:,} whose text stands in test too left out"] if rows.num_leaks else []
    understood = f" ({'; '.join(rows.notes)})" if rows.notes else ""
    return [f"{split}: {rows.source}: {', '.join(counts)}{understood}", *(f"  skipped: {message}" for message in rows.skipped[:3])]


def _largest(rows: LabelledRows) -> str:
    """The classes with their sizes, the largest first."""
    listed = sorted(rows.class_sizes.items(), key=lambda item: -item[1])
    return ", ".join(f"{label} {size:,}" for label, size in listed[:_CLASSES]) + (", ..." if len(listed) > _CLASSES else "")
