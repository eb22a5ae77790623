"""Data described in lines for the user: counts, layout, skipped rows, and the first rows as a table."""

from collections.abc import Iterable, Sequence
from itertools import islice
from shutil import get_terminal_size

from sbert_prune.data.rows import LabelledData, LabelledRows, NliRow, Row, RowSet, StsRow

_ROWS = 3
_MAX_WIDTH = 120
_MAX_CLASSES = 8


def describe_rows(split: str, rows: RowSet[Row]) -> list[str]:
    """Return lines about a split: path, number of rows, what was left out, layout, and up to three skipped rows."""
    counts = [f"{len(rows):,} rows"]
    counts += [f"{rows.num_unlabelled:,} without a gold label left out"] if rows.num_unlabelled else []
    counts += [f"{rows.num_skipped:,} bad row{'s' * (rows.num_skipped != 1)} skipped"] if rows.num_skipped else []
    counts += [f"{rows.num_leaks:,} that are also in dev or test left out"] if rows.num_leaks else []
    return _lines(split, rows, counts)


def preview(rows: RowSet[Row]) -> list[str]:
    """Return the first three rows as a table, so that you notice swapped columns before anything is trained."""
    first_rows: list[NliRow | StsRow] = list(islice(rows.rows, _ROWS))
    is_nli = isinstance(first_rows[0], NliRow)
    return table_of(
        ("premise", "hypothesis", "label") if is_nli else ("sentence1", "sentence2", "score"), map(_cells, first_rows)
    )


def describe_labelled(data: LabelledData) -> list[str]:
    """Return lines about the splits: path, rows, classes, what was left out, layout, and up to three skipped rows."""
    lines = [
        line
        for split, rows in data.splits.items()
        for line in _describe_labelled_split(split if data.train else "all", rows)
    ]
    return [*lines, *(f"  {note}" for note in data.notes)]


def preview_labelled(data: LabelledData) -> list[str]:
    """Return three rows as a table, so that you notice swapped columns."""
    return table_of(("text", "label"), (row.content() for row in (data.train or data.test).rows[:_ROWS]))


def table_of(names: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table that fits the terminal; only the last column is never shortened."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*names, box=box.SIMPLE)
    for column in table.columns[:-1]:
        column.no_wrap, column.overflow, column.ratio = True, "ellipsis", 1
    for row in rows:
        table.add_row(*row)
    console = Console(
        width=min(_MAX_WIDTH, get_terminal_size().columns), color_system=None, highlight=False, markup=False
    )
    with console.capture() as captured:
        console.print(table)
    return [f"  {line.rstrip()}" for line in captured.get().splitlines() if line.strip()]


def _cells(row: NliRow | StsRow) -> Iterable[str]:
    judgment = row.label.value if isinstance(row, NliRow) else f"{row.score:.2f}"
    return (*row.sentences, judgment)


def _describe_labelled_split(split: str, rows: LabelledRows) -> list[str]:
    counts = [f"{len(rows):,} rows in {len(rows.class_sizes):,} classes ({_largest(rows)})"]
    counts += [f"{rows.num_skipped:,} bad row{'s' * (rows.num_skipped != 1)} skipped"] if rows.num_skipped else []
    counts += [f"{rows.num_leaks:,} whose text is also in test left out"] if rows.num_leaks else []
    return _lines(split, rows, counts)


def _lines(split: str, rows: RowSet[Row] | LabelledRows, counts: Iterable[str]) -> list[str]:
    notes = f" ({'; '.join(rows.notes)})" if rows.notes else ""
    return [
        f"{split}: {rows.source}: {', '.join(counts)}{notes}",
        *(f"  skipped: {message}" for message in rows.skipped[:3]),
    ]


def _largest(rows: LabelledRows) -> str:
    by_size = sorted(rows.class_sizes.items(), key=lambda item: -item[1])
    return ", ".join(f"{label} {size:,}" for label, size in by_size[:_MAX_CLASSES]) + (
        ", ..." if len(by_size) > _MAX_CLASSES else ""
    )
