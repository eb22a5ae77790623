"""Which files of a data set on a hub are which split, told by their names.

What is understood: `mr/train/0000.parquet`, `mr/partial-train/0000.parquet` and `mr/xnli-train.parquet` (the hub's conversions, by config),
`pair-class/train-00000-of-00002.parquet`, `data/train-00000-of-00001.parquet`, `train.csv`, `validation.jsonl.gz`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self

from sbert_prune.data.files import stem_of
from sbert_prune.data.folders import SPLIT_WORDS, check_parts
from sbert_prune.errors import DataError

DEFAULT = ""
"""The config of files that stand in no folder of their own, or in `data`."""

_COMPRESSIONS = (".gz", ".xz", ".zst")
_PREFERRED = (".parquet", ".arrow")  # then by name: one format is enough, and these know their types
_PARTIAL = "partial"
_OF_SHARDS = re.compile(r"\d+|of|part|[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class NamedFile:
    """What the path of a data file tells.

    config: its folder.  split: train, dev or test; None where no name tells one, or two do.
    rest: words that are neither split nor number of a shard, such as a language.  is_partial: the first part of a large split.
    """

    path: str
    config: str
    split: str | None
    rest: frozenset[str]
    is_partial: bool

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read a path. The name of the file decides on the split, else the folder right above it."""
        *folders, name = path.split("/")
        words = _words(stem_of(name))
        split = _split_of(words)
        if split is None and folders and (split := _split_of(_words(folders[-1]))):
            words = [*_words(folders.pop()), *words]
        if folders[:1] == ["data"]:
            folders = folders[1:]
        rest = frozenset(word for word in words if not _OF_SHARDS.fullmatch(word) and _letters(word) not in SPLIT_WORDS)
        return cls(path, "/".join(folders), split, rest - {_PARTIAL}, _PARTIAL in words)

    @property
    def format(self) -> str:
        """The endings of its name: ".parquet", ".csv.gz"."""
        path = PurePosixPath(self.path)
        suffix = path.suffix.lower()
        return PurePosixPath(path.stem).suffix.lower() + suffix if suffix in _COMPRESSIONS else suffix


def split_of(files: Iterable[NamedFile], split: str, word: str | None) -> list[NamedFile]:
    """The files that are a split together: of one format, and of names that differ in the number of the shard only.

    word: one that the names have, where several files could be the split, such as a language.

    Raises DataError where it cannot be told which files are meant.
    """
    found = [file for file in files if file.split == split]
    by_rest: dict[frozenset[str], list[NamedFile]] = {}
    for file in found:
        by_rest.setdefault(file.rest, []).append(file)
    named = [rest for rest in by_rest if word in rest] if word else []
    rests = named or [rest for rest in by_rest if not rest] or list(by_rest)
    if len(rests) > 1:
        names = ", ".join(files[0].path for files in by_rest.values())
        words = ", ".join(sorted(frozenset().union(*rests) - frozenset.intersection(*rests)))
        raise DataError(f"{names} could each be the split {split}. Name one as the config, by a word that the others lack: {words}.")
    return _of_one_format(by_rest[rests[0]]) if rests else []


def _of_one_format(files: list[NamedFile]) -> list[NamedFile]:
    formats = {file.format for file in files}
    best = next((suffix for suffix in _PREFERRED if suffix in formats), min(formats))
    chosen = sorted((file for file in files if file.format == best), key=lambda file: file.path)
    names = [PurePosixPath(file.path).name for file in chosen]
    check_parts(str(PurePosixPath(chosen[0].path).parent), chosen[0].split or "train", names)
    return chosen


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^0-9a-z]+", name.lower()) if word]


def _letters(word: str) -> str:
    return word.strip("0123456789")


def _split_of(words: Iterable[str]) -> str | None:
    splits = {SPLIT_WORDS[_letters(word)] for word in words if _letters(word) in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None
