"""NLI files: premise, hypothesis and label."""

from pathlib import Path

from sbert_prune.data.badrows import parse_each, settle
from sbert_prune.data.columns import Columns, find_header, first_cells, shorten, text_of
from sbert_prune.data.records import read_table
from sbert_prune.data.tables import Record, Table
from sbert_prune.errors import DataError
from sbert_prune.rows import Label, NliRow, RowSet

COLUMNS = {
    "premise": ("premise", "sentence1", "sentence_1", "sentence_a", "text_a"),
    "hypothesis": ("hypothesis", "sentence2", "sentence_2", "sentence_b", "text_b"),
    "label": ("label", "gold_label", "labels", "entailment_label", "entailment_judgment"),
}

LABELS: dict[str, Label | None] = {
    "entailment": Label.ENTAILMENT,
    "entailed": Label.ENTAILMENT,
    "0": Label.ENTAILMENT,
    "neutral": Label.NEUTRAL,
    "1": Label.NEUTRAL,
    "contradiction": Label.CONTRADICTION,
    "contradictory": Label.CONTRADICTION,
    "2": Label.CONTRADICTION,
    "-1": None,
    "-": None,
}
"""What a label may be called; None: the annotators agreed on no label."""

_HEADERLESS = Columns((0, 1, 2), 3, "no header: premise, hypothesis, label")


def parse_nli(path: Path, *, on_bad_rows: str = "error") -> RowSet[NliRow]:
    """Read the rows of an NLI file; rows without a gold label are left out and counted.

    Raises DataError for a bad file, and for bad rows unless `on_bad_rows` is "skip".
    """
    table = read_table(path)
    header = find_header(table, COLUMNS)
    columns = header or _headerless(table)
    has_header_line = header is not None and table.header is None
    records = table.records[1:] if has_header_line else table.records
    if not records:
        raise DataError(f"{path} holds a header and no rows; expected rows of premise, hypothesis, label.")
    rows, problems = parse_each(table, records, lambda record: _parse_row(columns, record))
    skipped = settle(str(path), num_good=len(records) - len(problems), problems=problems, on_bad_rows=on_bad_rows)
    num_unlabelled = len(records) - len(problems) - len(rows)
    if not rows:
        raise DataError(f"{path}: none of its {num_unlabelled:,} rows has a gold label (all are -1 or -); give a split that has labels.")
    notes = (*table.notes, columns.layout)
    return RowSet(path.name, tuple(rows), str(path), skipped=skipped, notes=notes, num_unlabelled=num_unlabelled)


def _headerless(table: Table) -> Columns:
    first = first_cells(table)
    if len(first) == 3 and _label_name(first[2]) in LABELS:
        return _HEADERLESS
    expected = "a header with the columns premise, hypothesis, label, or no header and these three in this order"
    raise DataError(f"{table.path}: its first line has the {len(first)} cells {shorten(first)}; expected {expected}.")


def _parse_row(columns: Columns, record: Record) -> NliRow | None:
    premise, hypothesis, label = columns.cells(record)
    parsed = _parse_label(label)
    return None if parsed is None else NliRow(text_of(premise, "premise"), text_of(hypothesis, "hypothesis"), parsed)


def _parse_label(cell: object) -> Label | None:
    name = cell if isinstance(cell, str) and cell in LABELS else _label_name(cell)
    if name in LABELS:
        return LABELS[name]
    found = "missing" if cell is None or name in ("", "nan") else f"{str(cell)[:40]!r}"
    raise DataError(f"the label is {found}; expected {', '.join(Label)}, or 0, 1, 2 for them in this order (-1 or - for none)")


def _label_name(cell: object) -> str:
    """A label as LABELS spells it: 0, "0", 0.0 and "0.0" are one."""
    name = str(cell).strip().casefold()
    return name.removesuffix(".0")
