"""Labelled texts of a setting such as `classification=NAME=FOLDER`, checked and separated into train and test."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sbert_prune.data.columns import check_on_bad_rows
from sbert_prune.data.folders import data_files, split_of
from sbert_prune.data.formats.columnar import is_dataset_folder
from sbert_prune.data.formats.text import names_like
from sbert_prune.data.labelled_files import is_text_file, parse_labelled
from sbert_prune.data.normalise import normalised
from sbert_prune.data.rows import LabelledData, LabelledRows
from sbert_prune.data.sources import LONE, QUICKSTART, SplitFiles, find_source
from sbert_prune.data.splits import deal_rows
from sbert_prune.errors import DataError

_SPLITS = ("train", "test")

_EXPECTED = (
    "give a folder with train and test, a file of texts with their labels, or a data set of the hub such as org/name."
)

_MANY_CLASSES = 50
"""With more classes than this, few rows a class mean that the label column is free text."""

_MAX_LEAKED_SHARE = 0.9
_MAX_ROWS_FOR_FOLDS = 20_000
_NUM_PARTS = 10
"""A larger file is split once, a tenth for test: the confidence interval is narrow enough, and comparing all rows with
all others would cost more than embedding them."""


def load_labelled(
    setting: str, *, on_bad_rows: str = "error", max_rows_for_folds: int = _MAX_ROWS_FOR_FOLDS
) -> LabelledData:
    """Return the train and test rows of a folder or of a data set of a hub, or the rows of a single file.

    Train rows whose text is also in test are left out; a dev split is not read.

    Args:
        setting: The folder, the data set or the file.
        on_bad_rows: "error" or "skip".
        max_rows_for_folds: A single file with more rows is split into train and test; one with fewer is used for
            cross-validation.

    Raises:
        DataError: The data cannot be used.
        HubError: The data set cannot be fetched.
    """
    check_on_bad_rows(on_bad_rows)
    source = find_labelled(setting)
    splits = {split: parse_labelled(files, on_bad_rows=on_bad_rows) for split, files in source.files.items()}
    splits = {split: source.named(split, rows) for split, rows in splits.items()}
    for rows in splits.values():
        _check_several_classes(rows)
    _check_no_free_text(splits[LONE] if LONE in splits else splits["train"])
    if LONE in splits:
        return _from_single_file(splits[LONE], max_rows_for_folds)
    return _from_two_splits(splits["train"], splits["test"])


def find_labelled(setting: str) -> SplitFiles:
    """Return the files that a setting names.

    Raises:
        DataError: There are none; the message suggests similar names.
        HubError: The hub does not provide the data set.
    """
    if setting == QUICKSTART:
        raise DataError(f"The quickstart data have no classes; {_EXPECTED}")
    if is_text_file(path := Path(setting)):
        return SplitFiles({LONE: (_existing(path.expanduser()),)})
    if local_files := _files_in_folder(setting):
        return SplitFiles(local_files)
    return find_source(setting, _SPLITS, required=_SPLITS)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"{path} does not exist. {names_like(path)} {_EXPECTED.capitalize()}")
    return path


def _files_in_folder(setting: str) -> dict[str, tuple[Path, ...]] | None:
    """Return the files of a folder with a single file or with text files, as only labelled data may have; else None."""
    try:
        folder = Path(setting).expanduser()
        if not folder.is_dir() or is_dataset_folder(folder):
            return None
    except (OSError, RuntimeError):
        return None  # find_files reports it
    tables = data_files(folder)
    if tables:
        return (
            {LONE: (tables[0],)}
            if len(tables) == 1 and tables[0].is_file() and split_of(tables[0].name) is None
            else None
        )
    texts = sorted(
        path for path in folder.iterdir() if path.is_file() and is_text_file(path) and not path.name.startswith(".")
    )
    by_split = {split: tuple(path for path in texts if split_of(path.name) == split) for split in _SPLITS}
    if all(len(files) == 1 for files in by_split.values()):
        return by_split
    if len(texts) == 1 and split_of(texts[0].name) is None:
        return {LONE: (texts[0],)}
    if texts:
        names = ", ".join(path.name for path in texts)
        raise DataError(
            f"{folder} holds {names}; expected one file with train and one with test in its name, or a single file."
        )
    return None


def _check_several_classes(rows: LabelledRows) -> None:
    if len(rows.class_sizes) == 1:
        raise DataError(
            f"{rows.source}: all {len(rows):,} rows have the label {rows.rows[0].label!r}; a classification needs two "
            "classes or more. Check the label's column, or that the file is whole."
        )


def _check_no_free_text(rows: LabelledRows) -> None:
    sizes = rows.class_sizes
    num_single = sum(size == 1 for size in sizes.values())
    is_free_text = 2 * len(sizes) > len(rows) or 2 * num_single > len(sizes)
    if len(sizes) == len(rows) or (len(sizes) > _MANY_CLASSES and is_free_text):
        examples = ", ".join(repr(label) for label in list(sizes)[:3])
        raise DataError(
            f"{rows.source}: its {len(rows):,} rows have {len(sizes):,} different labels, such as {examples}, "
            f"{num_single:,} of them on one row alone: this is free text, not a label. Name the columns text and label "
            "in the first line, or give another file."
        )


def _from_single_file(rows: LabelledRows, max_rows_for_folds: int) -> LabelledData:
    """Return the rows for cross-validation, or many rows split. Raises DataError for a class with a single text."""
    texts = Counter(label for label, _ in {(row.label, normalised(row.text)) for row in rows.rows})
    if single := [label for label in sorted(texts) if texts[label] == 1]:
        num = rows.class_sizes[single[0]]
        others = f" (and {len(single) - 1:,} more such classes)" if len(single) > 1 else ""
        raise DataError(
            f"{rows.source}: the class {single[0]!r}{others} has "
            f"{'a single row' if num == 1 else f'{num} rows of the same text'}, so it cannot be both learned and "
            "tested. Leave the class out, give it more rows, or give a folder with train and test."
        )
    notes = tuple(_similar_labels(rows.class_sizes))
    if len(rows) <= max_rows_for_folds:
        return LabelledData(rows, notes=notes)
    is_test = (deal_rows(rows.texts, rows.labels, _NUM_PARTS) == 0).tolist()
    split_notes = (*rows.notes, f"split by text: one row of {_NUM_PARTS} is test")
    train, test = (
        replace(
            rows,
            rows=tuple(row for row, in_test in zip(rows.rows, is_test, strict=True) if in_test is side),
            notes=split_notes,
        )
        for side in (False, True)
    )
    # Skipped rows are reported once, with train.
    return LabelledData(replace(test, skipped=(), num_skipped=0), train, notes)


def _from_two_splits(train: LabelledRows, test: LabelledRows) -> LabelledData:
    """Return both splits, train without the texts of test. Raises DataError if they have no label in common."""
    train = _without_leaks(train, test)
    sizes = Counter(test.class_sizes)
    unknown = [label for label in sizes if label not in train.class_sizes]
    if len(unknown) == len(sizes):
        raise DataError(
            f"No label of {test.source} ({_first_labels(test.class_sizes)}) occurs in {train.source} "
            f"({_first_labels(train.class_sizes)}). Write the labels of both in the same words."
        )
    notes = list(_similar_labels(train.class_sizes | test.class_sizes))
    if unknown:
        num = sum(sizes[label] for label in unknown)
        notes.append(
            f"{num:,} test rows have labels that no train row has and count as wrong: {_first_labels(unknown)}"
        )
    return LabelledData(test, train, tuple(notes))


def _without_leaks(train: LabelledRows, test: LabelledRows) -> LabelledRows:
    """Return train without the texts of test.

    A class that has no other texts keeps them, because it could not be learned otherwise.

    Raises DataError if nearly all of train is in test.
    """
    held_out = {normalised(row.text) for row in test.rows}
    leaks = [normalised(row.text) in held_out for row in train.rows]
    if sum(leaks) > _MAX_LEAKED_SHARE * len(train):
        raise DataError(
            f"{train.source}: {sum(leaks):,} of its {len(train):,} rows are also in test, so too little would be left "
            "to train on. Give disjoint splits, or one file, which is evaluated by cross-validation."
        )
    classes = {row.label for row, leak in zip(train.rows, leaks, strict=True) if not leak}
    rows = tuple(row for row, leak in zip(train.rows, leaks, strict=True) if not leak or row.label not in classes)
    notes = tuple(
        f"all {size:,} rows of {label!r} are also in test; they are kept because their class has no others, which "
        "makes the test too easy"
        for label, size in train.class_sizes.items()
        if label not in classes
    )
    return replace(train, rows=rows, num_leaks=len(train) - len(rows), notes=(*train.notes, *notes))


def _similar_labels(labels: Iterable[str]) -> Iterable[str]:
    """Return a note for each group of labels that differ by case or blanks only."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault("".join(label.casefold().split()), []).append(label)
    for group in groups.values():
        if len(group) > 1:
            yield (
                f"the labels {', '.join(map(repr, sorted(group)))} differ by case or blanks only and count as "
                "different classes"
            )


def _first_labels(labels: Iterable[str]) -> str:
    names = list(labels)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
