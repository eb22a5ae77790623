"""NLI files: premise, hypothesis and label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sbert_prune.data.columns import (
    BadRows,
    Columns,
    Sheet,
    Synonyms,
    column_names,
    first_cells,
    name_of,
    parse_each,
    raise_for_bad_rows,
    shorten,
    source_of,
    text_of,
)
from sbert_prune.data.formats.table import Record, Source, Table
from sbert_prune.data.rows import Label, NliRow, RowSet
from sbert_prune.data.stored import StoredRows
from sbert_prune.errors import DataError

_SENTENCES = {
    "premise": ("premise", "sentence1", "sentence_1", "sentence_a", "text_a", "context"),
    "hypothesis": ("hypothesis", "sentence2", "sentence_2", "sentence_b", "text_b"),
}
COLUMNS = _SENTENCES | {"label": ("label", "gold_label", "labels", "entailment_label", "entailment_judgment")}
ONE_HOT = _SENTENCES | {label.value: (label.value, f"label_{label.value}", f"is_{label.value}") for label in Label}

LABELS: dict[str, Label | None] = {
    "entailment": Label.ENTAILMENT,
    "entailed": Label.ENTAILMENT,
    "e": Label.ENTAILMENT,
    "0": Label.ENTAILMENT,
    "neutral": Label.NEUTRAL,
    "n": Label.NEUTRAL,
    "1": Label.NEUTRAL,
    "contradiction": Label.CONTRADICTION,
    "contradictory": Label.CONTRADICTION,
    "c": Label.CONTRADICTION,
    "2": Label.CONTRADICTION,
    "-1": None,
    "-": None,
}
"""The names of each label; None: the annotators did not agree on one."""

_NUMBERS = tuple(Label)
"""The labels of 0, 1 and 2 if a file has no class names: the order of SNLI, MNLI and XNLI."""

_YES, _NO = frozenset({"1", "true", "1.0", "yes"}), frozenset({"0", "false", "0.0", "no"})

_HEADERLESS = Columns((0, 1, 2), 3, "no header: premise, hypothesis, label")


def parse_nli(files: Path | Sequence[Source], *, on_bad_rows: str = "error") -> RowSet[NliRow]:
    """Return the rows of one split; those without a gold label are left out and counted.

    Raises:
        DataError: A file is bad, or a row is and `on_bad_rows` is not "skip".
    """
    files = [files] if isinstance(files, Path) else list(files)
    sheets = [Sheet.of(path, _synonyms, _headerless) for path in files]
    reading = _Reading()
    rows = StoredRows(NliRow, (row for sheet in sheets for row in reading.rows(sheet)))
    source = source_of(files)
    if reading.num_threes > 1 and not reading.saw_a_zero:
        raise DataError(
            f"{source} has labels up to 3; expected 0, 1, 2 for {', '.join(Label)}, in this order. Write the labels as "
            "words."
        )
    raise_for_bad_rows(source, num_good=len(rows) + reading.num_unlabelled, bad=reading.bad, on_bad_rows=on_bad_rows)
    if not rows:
        raise DataError(
            f"{source}: none of its {reading.num_unlabelled:,} rows has a gold label (all are -1 or -); give labelled "
            "rows."
        )
    return RowSet(
        name_of(files),
        rows,
        source,
        skipped=tuple(reading.bad.messages),
        num_skipped=reading.bad.num,
        notes=(*sheets[0].notes, *reading.notes()),
        num_unlabelled=reading.num_unlabelled,
    )


def _synonyms(table: Table) -> Synonyms:
    """Return the columns of a table with one label column, or of one with a one-hot column for each label."""
    names = set(column_names(table))
    is_one_hot = all(names.intersection(ONE_HOT[label]) for label in Label) and not names.intersection(COLUMNS["label"])
    return ONE_HOT if is_one_hot else COLUMNS


def _headerless(table: Table) -> Columns:
    first = first_cells(table)
    if len(first) == 3 and _label_name(first[2]) in LABELS:
        return _HEADERLESS
    expected = "a header with the columns premise, hypothesis, label, or no header and these three in this order"
    is_triplets = {"anchor", "positive", "negative"} <= set(column_names(table))
    advice = (
        " Write each triplet as two rows: anchor, positive, entailment; and anchor, negative, contradiction."
        if is_triplets
        else ""
    )
    raise DataError(
        f"{table.path}: its first line has the {len(first)} cells {shorten(first)}; expected {expected}.{advice}"
    )


@dataclass
class _Reading:
    """Counts of the bad and unlabelled rows of a split, and the kinds of labels in it."""

    bad: BadRows = field(default_factory=BadRows)
    num_unlabelled: int = 0
    saw_numbers: bool = False
    saw_a_zero: bool = False
    saw_letters: bool = False
    num_threes: int = 0
    saw_one_hot: bool = False

    def rows(self, sheet: Sheet) -> Iterator[NliRow]:
        """Yield the labelled rows of one file."""
        class_names = _class_names(sheet)

        def parse(record: Record) -> NliRow | None:
            premise, hypothesis, *labels = sheet.columns.cells(record)
            label = self._one_hot(labels) if len(labels) > 1 else self._label(labels[0], class_names)
            return (
                None if label is None else NliRow(text_of(premise, "premise"), text_of(hypothesis, "hypothesis"), label)
            )

        for row in parse_each(sheet.table, sheet.records(), parse, self.bad):
            if row is None:
                self.num_unlabelled += 1
            else:
                yield row

    def _label(self, cell: object, class_names: tuple[str, ...]) -> Label | None:
        name = cell if isinstance(cell, str) and cell in LABELS else _label_name(cell)
        if class_names and name.isdecimal():
            name = class_names[int(name)] if int(name) < len(class_names) else name
        if name in LABELS:
            self.saw_numbers |= name in {"0", "1", "2"}
            self.saw_a_zero |= name == "0"
            self.saw_letters |= name in {"e", "n", "c"}
            return LABELS[name]
        self.num_threes += name == "3"
        value = "missing" if cell is None or name in ("", "nan") else f"{str(cell)[:40]!r}"
        raise DataError(
            f"the label is {value}; expected {', '.join(Label)}, or e, n, c or 0, 1, 2 for them in this order (-1 or - "
            "for none)"
        )

    def _one_hot(self, cells: Sequence[object]) -> Label:
        flags = [_label_name(cell) for cell in cells]
        self.saw_one_hot = True
        if sum(flag in _YES for flag in flags) != 1 or not all(flag in _YES | _NO for flag in flags):
            raise DataError(
                f"the columns {', '.join(Label)} hold {', '.join(map(str, cells))}; expected a 1 in one of them and 0 "
                "in the others"
            )
        return _NUMBERS[next(index for index, flag in enumerate(flags) if flag in _YES)]

    def notes(self) -> tuple[str, ...]:
        """Return how the labels were read, for the user."""
        numbers = (f"labels 0, 1, 2 read as {', '.join(_NUMBERS)}",) if self.saw_numbers else ()
        letters = (f"labels e, n, c read as {', '.join(_NUMBERS)}",) if self.saw_letters else ()
        return (*numbers, *letters, *(("labels one-hot",) if self.saw_one_hot else ()))


def _class_names(sheet: Sheet) -> tuple[str, ...]:
    """Return the class names of the label column, if there are any. Raises DataError for one that is not a label."""
    if sheet.table.header is None or len(sheet.columns.indices) != len(COLUMNS):
        return ()
    words = sheet.table.names.get(sheet.table.header[sheet.columns.indices[-1]], ())
    names = tuple(_label_name(word) for word in words)
    if unknown := [word for word, name in zip(words, names, strict=True) if name not in LABELS]:
        raise DataError(
            f"{sheet.table.path}: its labels stand for {', '.join(words)}; {unknown[0]!r} is none of "
            f"{', '.join(Label)}. Write the labels in these words."
        )
    return names


def _label_name(cell: object) -> str:
    """Return a label as LABELS spells it: 0, "0", 0.0 and "0.0" are the same."""
    name = str(cell).strip().casefold()
    return name.removesuffix(".0")
