"""What was understood about labelled texts, in lines for people."""

from sbert_prune.data.describe import table_of
from sbert_prune.data.labelled_rows import LabelledData, LabelledRows

_ROWS = 3
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
