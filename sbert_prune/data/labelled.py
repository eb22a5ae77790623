"""Labelled texts that a setting such as `classification=NAME=FOLDER` names, fit to judge a classification by."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sbert_prune.data.columns import check_on_bad_rows
from sbert_prune.data.folders import data_files, split_of
from sbert_prune.data.formats.columnar import is_dataset_folder
from sbert_prune.data.formats.text import names_like
from sbert_prune.data.labelled_files import is_text_file, parse_labelled
from sbert_prune.data.normalise import normalised
from sbert_prune.data.rows import LabelledData, LabelledRows
from sbert_prune.data.sources import QUICKSTART, find_files
from sbert_prune.data.splits import deal_rows
from sbert_prune.errors import DataError

LONE = "file"
"""The only split of a setting that names one file."""

_SPLITS = ("train", "test")
_EXPECTED = "give a folder with train and test, a file of texts with their labels, or a data set of the hub such as org/name."


@dataclass(frozen=True)
class LabelledFiles:
    """The files of each split: train and test, or the only one.

    source: what the hub calls them, with their commit; None for local ones.  note: for people.
    """

    files: Mapping[str, Sequence[Path]]
    source: str | None = None
    note: str = ""

    def named(self, split: str, rows: LabelledRows) -> LabelledRows:
        """Rows of the hub are known by their place there, not by where the cache has them."""
        if self.source is None:
            return rows
        return replace(rows, name=split, source=f"{self.source} {split}", notes=(*rows.notes, *filter(None, (self.note,))))


def find_labelled(setting: str) -> LabelledFiles:
    """The files that a setting names.

    Raises DataError, with near names, when there are none; HubError for what the hub does not give.
    """
    if setting == QUICKSTART:
        raise DataError(f"The quickstart data have no classes; {_EXPECTED}")
    if is_text_file(path := Path(setting)):
        return LabelledFiles({LONE: (_existing(path.expanduser()),)})
    if lone := _files_of_a_folder(setting):
        return LabelledFiles(lone)
    files = find_files(setting, _SPLITS, required=_SPLITS)
    if files is not None:
        return LabelledFiles(files)
    from sbert_prune.data.hub_datasets import fetch_splits

    fetched = fetch_splits(setting, _SPLITS)
    return LabelledFiles(fetched.files, fetched.source, fetched.note)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"{path} does not exist. {names_like(path)} {_EXPECTED.capitalize()}")
    return path


def _files_of_a_folder(setting: str) -> dict[str, tuple[Path, ...]] | None:
    """What other data do not have: a folder with one file, or with text files. None where it is another folder, or none."""
    try:
        folder = Path(setting).expanduser()
        if not folder.is_dir() or is_dataset_folder(folder):
            return None
    except (OSError, RuntimeError):
        return None  # told by find_files
    tables = data_files(folder)
    if tables:
        return {LONE: (tables[0],)} if len(tables) == 1 and tables[0].is_file() and split_of(tables[0].name) is None else None
    texts = sorted(path for path in folder.iterdir() if path.is_file() and is_text_file(path) and not path.name.startswith("."))
    by_split = {split: tuple(path for path in texts if split_of(path.name) == split) for split in _SPLITS}
    if all(len(files) == 1 for files in by_split.values()):
        return by_split
    if len(texts) == 1 and split_of(texts[0].name) is None:
        return {LONE: (texts[0],)}
    if texts:
        names = ", ".join(path.name for path in texts)
        raise DataError(f"{folder} holds {names}; expected one file with train and one with test in its name, or a single file.")
    return None


_MOST_CLASSES = 50
"""With more, that few rows share a class speaks for free text."""

_MOST_LEAKS = 0.9

_MOST_FOR_FOLDS = 20_000
_TEST_SHARE = 10
"""A larger file is split once, a tenth for test: its interval is narrow, and neighbours of all by all would cost more than embedding."""


def load_labelled(setting: str, *, on_bad_rows: str = "error", most_for_folds: int = _MOST_FOR_FOLDS) -> LabelledData:
    """Return the train and test rows of a folder or of a data set of a hub, or the rows of a single file.

    Train rows whose text stands in test too are left out; a dev split is not read.

    Args:
        setting: The folder, the data set or the file.
        on_bad_rows: "error" or "skip".
        most_for_folds: A single file with more rows is split into train and test; one with fewer is judged by cross-validation.

    Raises:
        DataError: The data cannot be used.
        HubError: The data set cannot be fetched.
    """
    check_on_bad_rows(on_bad_rows)
    found = find_labelled(setting)
    splits = {split: parse_labelled(files, on_bad_rows=on_bad_rows) for split, files in found.files.items()}
    splits = {split: found.named(split, rows) for split, rows in splits.items()}
    for rows in splits.values():
        _check_several_classes(rows)
    _check_no_free_text(splits[LONE] if LONE in splits else splits["train"])
    return _of_one(splits[LONE], most_for_folds) if LONE in splits else _of_two(splits["train"], splits["test"])


def _check_several_classes(rows: LabelledRows) -> None:
    if len(rows.class_sizes) == 1:
        raise DataError(
            f"{rows.source}: all {len(rows):,} rows have the label {rows.rows[0].label!r}; a classification needs two classes or more. "
            "Check the label's column, or that the file is whole."
        )


def _check_no_free_text(rows: LabelledRows) -> None:
    sizes = rows.class_sizes
    num_single = sum(size == 1 for size in sizes.values())
    is_free_text = 2 * len(sizes) > len(rows) or 2 * num_single > len(sizes)
    if len(sizes) == len(rows) or (len(sizes) > _MOST_CLASSES and is_free_text):
        examples = ", ".join(repr(label) for label in list(sizes)[:3])
        raise DataError(
            f"{rows.source}: its {len(rows):,} rows have {len(sizes):,} different labels, such as {examples}, {num_single:,} of them on "
            "one row alone: that is no label but free text. Name the columns text and label in the first line, or give another file."
        )


def _of_one(rows: LabelledRows, most_for_folds: int) -> LabelledData:
    """Rows without splits. Raises DataError for a class with a single text."""
    texts = Counter(label for label, _ in {(row.label, normalised(row.text)) for row in rows.rows})
    if single := [label for label in sorted(texts) if texts[label] == 1]:
        num = rows.class_sizes[single[0]]
        others = f" (and {len(single) - 1:,} more such classes)" if len(single) > 1 else ""
        raise DataError(
            f"{rows.source}: the class {single[0]!r}{others} has {'a single row' if num == 1 else f'{num} rows of the same text'}, so it "
            "cannot be both learned and tested. Leave the class out, give it more rows, or give a folder with train and test."
        )
    notes = tuple(_look_alikes(rows.class_sizes))
    if len(rows) <= most_for_folds:
        return LabelledData(rows, notes=notes)
    is_test = (deal_rows(rows.texts, rows.labels, _TEST_SHARE) == 0).tolist()
    told = (*rows.notes, f"split by text: one row of {_TEST_SHARE} is test")
    train, test = (
        replace(rows, rows=tuple(row for row, held_out in zip(rows.rows, is_test, strict=True) if held_out is side), notes=told)
        for side in (False, True)
    )
    return LabelledData(replace(test, skipped=(), num_skipped=0), train, notes)  # skipped rows are told once, with train


def _of_two(train: LabelledRows, test: LabelledRows) -> LabelledData:
    """Splits that were given. Raises DataError where train has nothing to say about test."""
    train = _apart(train, test)
    sizes = Counter(test.class_sizes)
    unknown = [label for label in sizes if label not in train.class_sizes]
    if len(unknown) == len(sizes):
        raise DataError(
            f"No label of {test.source} ({_some(test.class_sizes)}) stands in {train.source} ({_some(train.class_sizes)}). Write the "
            "labels of both in the same words."
        )
    notes = list(_look_alikes(train.class_sizes | test.class_sizes))
    if unknown:
        num = sum(sizes[label] for label in unknown)
        notes.append(f"{num:,} test rows have labels that no train row has and count as wrong: {_some(unknown)}")
    return LabelledData(test, train, tuple(notes))


def _apart(train: LabelledRows, test: LabelledRows) -> LabelledRows:
    """Train without the texts of test; a class that has no others keeps them, because nothing else tells what it is.

    Raises DataError where nearly all of train stands in test.
    """
    held_out = {normalised(row.text) for row in test.rows}
    leaks = [normalised(row.text) in held_out for row in train.rows]
    if sum(leaks) > _MOST_LEAKS * len(train):
        raise DataError(
            f"{train.source}: {sum(leaks):,} of its {len(train):,} rows stand in test too, so too little would be left to learn from. Give "
            "splits of their own, or one file, which is judged by cross-validation."
        )
    apart = {row.label for row, leak in zip(train.rows, leaks, strict=True) if not leak}
    kept = tuple(row for row, leak in zip(train.rows, leaks, strict=True) if not leak or row.label not in apart)
    notes = tuple(
        f"all {size:,} rows of {label!r} stand in test too; they stay, as the only ones of their class, and make it too easy"
        for label, size in train.class_sizes.items()
        if label not in apart
    )
    return replace(train, rows=kept, num_leaks=len(train) - len(kept), notes=(*train.notes, *notes))


def _look_alikes(labels: Iterable[str]) -> Iterable[str]:
    """A note for each group of labels that differ by case or blanks only."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault("".join(label.casefold().split()), []).append(label)
    for group in groups.values():
        if len(group) > 1:
            yield f"the labels {', '.join(map(repr, sorted(group)))} differ by case or blanks only and count as different classes"


def _some(labels: Iterable[str]) -> str:
    listed = list(labels)
    return ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")
