"""Data described in lines for the user: counts, layout, skipped rows, and the first rows as a table."""

from itertools import islice
from shutil import get_terminal_size
from typing import Any

from sbert_prune.data.rows import LabelledData, LabelledRows, NliRow, Row, RowSet, StsRow
from sbert_prune.system.table import table_lines

_ROWS = 3
_MAX_WIDTH = 120
_MAX_CLASSES = 8


def describe_rows(split: str, rows: RowSet[Any]) -> list[str]:
    """Return lines about a split: path, number of rows, what was left out, layout, and up to three skipped rows."""
    classes, shared, keeps = "", "that are also in dev or test", " (keep_leaks=true keeps them)"
    if isinstance(rows, LabelledRows):
        classes, shared, keeps = (
            f" in {len(rows.class_sizes):,} classes ({_largest(rows)})",
            "whose text is also in test",
            "",
        )
    counts = [f"{len(rows):,} rows{classes}"]
    counts += [f"{rows.num_unlabelled:,} without a gold label left out"] if rows.num_unlabelled else []
    counts += [f"{rows.num_skipped:,} bad row{'s' * (rows.num_skipped != 1)} skipped"] if rows.num_skipped else []
    counts += [f"{rows.num_leaks:,} {shared} left out{keeps}"] if rows.num_leaks else []
    notes = f" ({'; '.join(rows.notes)})" if rows.notes else ""
    return [
        f"{split}: {rows.source}: {', '.join(counts)}{notes}",
        *(f"  skipped: {message}" for message in rows.skipped[:3]),
    ]


def preview(rows: RowSet[Row]) -> list[str]:
    """Return the first three rows as a table, so that you notice swapped columns before anything is trained."""
    first_rows: list[NliRow | StsRow] = list(islice(rows.rows, _ROWS))
    is_nli = isinstance(first_rows[0], NliRow)
    header = ("premise", "hypothesis", "label") if is_nli else ("sentence1", "sentence2", "score")
    width = min(_MAX_WIDTH, get_terminal_size().columns)
    return [f"  {line}" for line in table_lines(header, map(_cells, first_rows), width=width, shortens=True)]


def describe_labelled(data: LabelledData) -> list[str]:
    """Return lines about the splits: path, rows, classes, what was left out, layout, and up to three skipped rows."""
    lines = [
        line for split, rows in data.splits.items() for line in describe_rows(split if data.train else "all", rows)
    ]
    return [*lines, *(f"  {note}" for note in data.notes)]


def _cells(row: NliRow | StsRow) -> tuple[str, ...]:
    judgment = row.label.value if isinstance(row, NliRow) else f"{row.score:.2f}"
    return (*row.sentences, judgment)


def _largest(rows: LabelledRows) -> str:
    by_size = sorted(rows.class_sizes.items(), key=lambda item: -item[1])
    return ", ".join(f"{label} {size:,}" for label, size in by_size[:_MAX_CLASSES]) + (
        ", ..." if len(by_size) > _MAX_CLASSES else ""
    )
