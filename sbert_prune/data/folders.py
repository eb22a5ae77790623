"""The splits that a folder holds, found by the names of its files and folders."""

import re
from collections.abc import Iterable
from pathlib import Path

from sbert_prune.data.formats.columnar import is_dataset_folder
from sbert_prune.data.formats.read import FORMATS, is_data_file
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
"""Words in a file's name, and the split that they mean."""

_SHARD = re.compile(r"(?P<before>.*?)[-_.]?(?P<number>\d{4,})([-_]of[-_](?P<total>\d+))?")
"""A part of a split: train-00000-of-00003, train_0001, 0001."""


def find_splits(folder: Path, wanted: Iterable[str]) -> dict[str, tuple[Path, ...]]:
    """The files of each wanted split that the folder has: one file, the parts of one, or what lies in a folder of the split's name.

    A folder that `datasets` saved counts as a file. Raises DataError when two files could be the same split.
    """
    candidates: dict[str, list[Path]] = {}
    for path in data_files(folder):
        if split := split_of(path.name):
            candidates.setdefault(split, []).append(path)
    return {split: _parts(folder, split, candidates[split]) for split in wanted if split in candidates}


def require_splits(folder: Path, found: Iterable[str], required: tuple[str, ...]) -> None:
    """Raises DataError that names the first required split that the folder lacks, and what it holds."""
    if missing := [split for split in required if split not in found]:
        names = ", ".join(path.name for path in data_files(folder)) or _no_data_file(folder)
        names += "".join(f", and {path.name}, a link to nothing" for path in _entries(folder) if path.is_symlink() and not path.exists())
        words = ", ".join(word for word, split in SPLIT_WORDS.items() if split == missing[0])
        expected = (
            f"Expected a file or folder with {words} in its name, its files ending in {', '.join(FORMATS)}, also with .gz, .xz or .zst."
        )
        raise DataError(f"{folder} has no {' and no '.join(missing)} split; it holds {names}. {expected}")


def data_files(folder: Path) -> list[Path]:
    """What can be read in a folder, by name: files of known formats, folders that `datasets` saved, and folders of a split's parts."""
    return [path for path in _entries(folder) if (path.is_file() and is_data_file(path)) or (path.is_dir() and _holds_split(path))]


def split_of(name: str) -> str | None:
    """The split that a name tells; None when it tells none or more than one."""
    words = re.split(r"[^a-z]+", stem_of(name).lower())
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None


def _holds_split(folder: Path) -> bool:
    return is_dataset_folder(folder) or (split_of(folder.name) is not None and any(map(is_data_file, _files(folder))))


def _parts(folder: Path, split: str, paths: list[Path]) -> tuple[Path, ...]:
    """One split's files, in their order."""
    if len(paths) == 1 and paths[0].is_dir() and not is_dataset_folder(paths[0]):
        return _parts(paths[0], split, [path for path in _files(paths[0]) if is_data_file(path)])
    if len(paths) > 1 and not _is_sharded(paths):
        names = " and ".join(path.name for path in paths)
        raise DataError(f"{folder} has {len(paths)} files for the split {split}: {names}. Keep one of them there, or give a file.")
    check_parts(str(folder), split, [path.name for path in paths])
    return tuple(paths)


def check_parts(where: str, split: str, names: Iterable[str]) -> None:
    """Refuse some of the numbered parts of a split, and parts of two sets. Raises DataError."""
    found = [match for name in names if (match := _SHARD.fullmatch(stem_of(name)))]
    totals = {match["total"] for match in found}
    if not found or (len(found) == 1 and totals == {None}):
        return
    numbers = sorted(int(match["number"]) for match in found)
    first = 0 if totals != {None} else numbers[0]
    wanted = list(range(first, first + (int(next(iter(totals)) or 0) or len(numbers))))
    if len(totals) > 1 or numbers != wanted:
        names_found = ", ".join(sorted(match.string for match in found)[:6])
        raise DataError(
            f"{where}: the split {split} is in parts, and these are not all of one set: {names_found}. "
            "Fetch what is missing, and take away what belongs to another set."
        )


def _is_sharded(paths: list[Path]) -> bool:
    """Whether the files are numbered parts with one name and ending."""
    parts = [(_SHARD.fullmatch(stem_of(path.name)), path.name[len(stem_of(path.name)) :]) for path in paths]
    return all(match is not None for match, _ in parts) and len({(match["before"], ending) for match, ending in parts if match}) == 1


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
