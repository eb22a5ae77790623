"""The splits in a folder, found by the names of its files and folders."""

import re
from collections.abc import Iterable
from pathlib import Path

from sbert_prune.data.formats.columnar import is_dataset_folder
from sbert_prune.data.formats.read import FORMATS, is_data_file, pasted_scores
from sbert_prune.data.formats.text import stem_of
from sbert_prune.errors import DataError

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "test": "test",
}
"""Words in a file's name, and the split that each means."""

_SHARD = re.compile(r"(?P<before>.*?)[-_.]?(?P<number>\d{4,})([-_]of[-_](?P<total>\d+))?")
"""A part of a split: train-00000-of-00003, train_0001, 0001."""


def find_splits(folder: Path, splits: Iterable[str]) -> dict[str, tuple[Path, ...]]:
    """Return the files of each split: one file, its numbered parts, or those in a folder with the split's name.

    A folder that `datasets` saved counts as a file. Raises DataError if two files could be the same split.
    """
    candidates: dict[str, list[Path]] = {}
    for path in data_files(folder):
        if split := split_of(path.name):
            candidates.setdefault(split, []).append(path)
    return {split: _parts(folder, split, candidates[split]) for split in splits if split in candidates}


def require_splits(folder: Path, splits: Iterable[str], required: tuple[str, ...]) -> None:
    """Raise DataError if a required split is not among the folder's splits; the message lists the folder's contents."""
    if missing := [split for split in required if split not in splits]:
        names = ", ".join(path.name for path in data_files(folder)) or _no_data_file(folder)
        names += "".join(
            f", and {path.name}, a broken link" for path in _entries(folder) if path.is_symlink() and not path.exists()
        )
        words = ", ".join(word for word, split in SPLIT_WORDS.items() if split == missing[0])
        expected = (
            f"Expected a file or folder with {words} in its name, its files ending in {', '.join(FORMATS)}, also with "
            ".gz, .xz or .zst."
        )
        pasted = pasted_scores(path.name for path in _entries(folder))
        raise DataError(f"{folder} has no {' and no '.join(missing)} split; it holds {names}. {expected}{pasted}")


def data_files(folder: Path) -> list[Path]:
    """Return the data in a folder, by name: files of known formats, folders that `datasets` saved, split folders."""
    return [
        path
        for path in _entries(folder)
        if (path.is_file() and is_data_file(path)) or (path.is_dir() and _holds_split(path))
    ]


def split_of(name: str) -> str | None:
    """Return the split in a name; None if it contains no split, or more than one."""
    words = re.split(r"[^a-z]+", stem_of(name).lower())
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None


def _holds_split(folder: Path) -> bool:
    return is_dataset_folder(folder) or (split_of(folder.name) is not None and any(map(is_data_file, _files(folder))))


def _parts(folder: Path, split: str, paths: list[Path]) -> tuple[Path, ...]:
    """Return one split's files, in their order."""
    if len(paths) == 1 and paths[0].is_dir() and not is_dataset_folder(paths[0]):
        return _parts(paths[0], split, [path for path in _files(paths[0]) if is_data_file(path)])
    if len(paths) > 1 and not _is_sharded(paths):
        names = " and ".join(path.name for path in paths)
        raise DataError(
            f"{folder} has {len(paths)} files for the split {split}: {names}. Keep one of them there, or give a file."
        )
    check_parts(str(folder), split, [path.name for path in paths])
    return tuple(paths)


def check_parts(folder: str, split: str, names: Iterable[str]) -> None:
    """Raise DataError if the numbered parts of a split are incomplete, or belong to two sets."""
    parts = [match for name in names if (match := _SHARD.fullmatch(stem_of(name)))]
    totals = {match["total"] for match in parts}
    if not parts or (len(parts) == 1 and totals == {None}):
        return
    numbers = sorted(int(match["number"]) for match in parts)
    first = 0 if totals != {None} else numbers[0]
    expected = list(range(first, first + (int(next(iter(totals)) or 0) or len(numbers))))
    if len(totals) > 1 or numbers != expected:
        part_names = ", ".join(sorted(match.string for match in parts)[:6])
        raise DataError(
            f"{folder}: the split {split} is in parts, and these are not all of one set: {part_names}. Add the missing "
            "parts, and remove those of another set."
        )


def _is_sharded(paths: list[Path]) -> bool:
    """Return whether the files are numbered parts with the same name and suffix."""
    parts = [(_SHARD.fullmatch(stem_of(path.name)), path.name[len(stem_of(path.name)) :]) for path in paths]
    return (
        all(match is not None for match, _ in parts)
        and len({(match["before"], ending) for match, ending in parts if match}) == 1
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_file()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}. Check its permissions.") from error


def _no_data_file(folder: Path) -> str:
    folders = ", ".join(path.name for path in _entries(folder) if path.is_dir())
    return f"no data file, but the folders {folders}" if folders else "no data file"
