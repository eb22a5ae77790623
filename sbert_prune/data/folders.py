"""The splits that a folder holds, found by the names of its files."""

import re
from pathlib import Path

from sbert_prune.data.records import FORMATS, is_data_file
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


def find_splits(folder: Path, wanted: tuple[str, ...]) -> dict[str, Path]:
    """The file of each wanted split that the folder has, in the order of `wanted`.

    Raises DataError when two files could be the same split.
    """
    candidates: dict[str, list[Path]] = {}
    for path in data_files(folder):
        if split := _split_of(path):
            candidates.setdefault(split, []).append(path)
    for split in wanted:
        if len(paths := candidates.get(split, [])) > 1:
            names = " and ".join(path.name for path in paths)
            raise DataError(f"{folder} has {len(paths)} files for the split {split}: {names}. Keep one of them there, or give a file.")
    return {split: candidates[split][0] for split in wanted if split in candidates}


def require_splits(folder: Path, found: dict[str, Path], required: tuple[str, ...]) -> None:
    """Raises DataError that names the first required split that the folder lacks, and what it holds."""
    if missing := [split for split in required if split not in found]:
        names = ", ".join(path.name for path in data_files(folder)) or _no_data_file(folder)
        words = ", ".join(word for word, split in SPLIT_WORDS.items() if split == missing[0])
        expected = f"Expected a file with {words} in its name, ending in {', '.join(FORMATS)}, also with .gz or .xz."
        raise DataError(f"{folder} has no {' and no '.join(missing)} split; it holds {names}. {expected}")


def data_files(folder: Path) -> list[Path]:
    """The files of known formats in a folder, by name."""
    return [path for path in _entries(folder) if path.is_file() and is_data_file(path)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}. Check its permissions.") from error


def _no_data_file(folder: Path) -> str:
    folders = ", ".join(path.name for path in _entries(folder) if path.is_dir())
    return f"no data file, but the folders {folders}" if folders else "no data file"


def _split_of(path: Path) -> str | None:
    """The split that the name tells; None when it tells none or more than one."""
    words = re.split(r"[^a-z]+", path.name.split(".")[0].lower())
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None
