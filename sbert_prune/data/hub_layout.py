"""The layout of a data set on a hub: the config and the split of each file, by its name or by what the README declares.

Names that are recognised: `mr/train/0000.parquet`, `mr/partial-train/0000.parquet` and `mr/xnli-train.parquet` (the
hub's conversions, by config), `pair-class/train-00000-of-00002.parquet`, `data/train-00000-of-00001.parquet`,
`train.csv`, `validation.jsonl.gz`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Self

from sbert_prune.data.folders import SPLIT_WORDS, check_parts
from sbert_prune.data.formats.text import stem_of
from sbert_prune.errors import DataError

DEFAULT = ""
"""The config of files that are in no folder, or in `data`."""

_COMPRESSIONS = (".gz", ".xz", ".zst")
_PREFERRED = (".parquet", ".arrow")  # then by name: one format is enough, and these two store the columns' types
_PARTIAL = "partial"
_MAX_PATTERNS = 10_000
_OF_SHARDS = re.compile(r"\d+|of|part|[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class NamedFile:
    """The path of a data file, parsed.

    Attributes:
        path: The path in the repository.
        config: The folder.
        split: train, dev or test; None if the name contains no split, or more than one.
        rest: Words that are neither a split nor the number of a shard, such as a language.
        is_partial: Whether the file is the first part of a large split.
    """

    path: str
    config: str
    split: str | None
    rest: frozenset[str]
    is_partial: bool

    @classmethod
    def parse(cls, path: str) -> Self:
        """Parse a path. The split is in the name of the file, else in that of its parent folder."""
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
        """The suffixes of the name: ".parquet", ".csv.gz"."""
        path = PurePosixPath(self.path)
        suffix = path.suffix.lower()
        return PurePosixPath(path.stem).suffix.lower() + suffix if suffix in _COMPRESSIONS else suffix


Configs = dict[str, list[NamedFile]]


def split_of(files: Iterable[NamedFile], split: str, word: str | None) -> list[NamedFile]:
    """Return the files of a split: all of one format, with names that differ only in the number of the shard.

    Args:
        files: The files of the config.
        split: train, dev or test.
        word: A word in the names, such as a language, that decides if several files could be the split.

    Raises:
        DataError: Several files could be the split.
    """
    by_rest: dict[frozenset[str], list[NamedFile]] = {}
    for file in files:
        if file.split == split:
            by_rest.setdefault(file.rest, []).append(file)
    named = [rest for rest in by_rest if word in rest] if word else []
    rests = named or [rest for rest in by_rest if not rest] or list(by_rest)
    if len(rests) > 1:
        names = ", ".join(files[0].path for files in by_rest.values())
        words = ", ".join(sorted(frozenset().union(*rests) - frozenset.intersection(*rests)))
        raise DataError(
            f"{names} could each be the split {split}. Name one as the config, by a word that the others lack: {words}."
        )
    return _of_one_format(by_rest[rests[0]]) if rests else []


def read_card(text: str, files: Iterable[NamedFile]) -> tuple[Configs, str | None]:
    """Return the files of each config that a README declares, with their splits, and the name of the default config.

    Both are empty for a README without such a declaration, or with one that cannot be parsed.

    Raises:
        DataError: The README declares more patterns of file names than are read.
    """
    files = list(files)
    configs: Configs = {}
    default, num_patterns = None, 0
    for declared in _declared(text):
        name = str(declared.get("config_name", "default"))
        entries = _entries(declared)
        num_patterns += sum(len(patterns) for _, patterns in entries)
        if num_patterns > _MAX_PATTERNS:
            raise DataError(
                f"The data set's README.md declares more than {_MAX_PATTERNS:,} patterns of file names, the most that "
                "are read. Download the data files, and give their folder."
            )
        configs[name] = [file for entry in entries for file in _matching(*entry, files)]
        default = name if declared.get("default") is True else default
    return configs, default


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


def _declared(text: str) -> list[dict[str, Any]]:
    import yaml

    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        # libyaml takes a tenth of the time.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        metadata = yaml.load(front[1], Loader=loader) if front else None  # both are safe
    except (yaml.YAMLError, RecursionError, ValueError):
        return []
    configs = metadata.get("configs") if isinstance(metadata, dict) else None
    return [config for config in configs if isinstance(config, dict)] if isinstance(configs, list) else []


def _entries(declared: dict[str, Any]) -> list[tuple[str | None, list[str]]]:
    """Return the splits of a config with their patterns; None as the split if the file names decide."""
    folder = str(declared.get("data_dir") or "").strip("/")
    data_files = declared.get("data_files", "**")
    is_by_split = isinstance(data_files, list) and all(isinstance(entry, dict) for entry in data_files)
    entries = data_files if is_by_split else [{"path": data_files}]
    return [
        (
            str(entry["split"]) if "split" in entry else None,
            [_join(folder, pattern) for pattern in _as_list(entry.get("path"))],
        )
        for entry in entries
    ]


def _as_list(patterns: Any) -> list[str]:
    return [str(pattern) for pattern in (patterns if isinstance(patterns, list) else [patterns])]


def _join(folder: str, pattern: str) -> str:
    return f"{folder}/{pattern}" if folder else pattern.removeprefix("./")


def _matching(word: str | None, patterns: list[str], files: list[NamedFile]) -> list[NamedFile]:
    globs = [_WILDCARD.split(pattern) for pattern in patterns]
    matched = [file for file in files if any(_is_match(glob, file.path) for glob in globs)]
    if word is None:
        return [NamedFile(file.path, "", file.split or "train", frozenset(), file.is_partial) for file in matched]
    split = SPLIT_WORDS.get(re.split(r"[^a-z]", word.lower())[0])
    rest = frozenset() if word.lower() in SPLIT_WORDS else frozenset({word.lower()})
    return [NamedFile(file.path, "", split, rest, file.is_partial) for file in matched]


_WILDCARD = re.compile(r"(\*\*/|\*\*|\*|\?)")


def _is_match(glob: list[str], path: str) -> bool:
    """Return whether a glob matches a whole path; `*` stays inside a folder and `**` does not.

    Without a regular expression, because a README could declare one that backtracks for hours.

    Args:
        glob: The pattern, split into wildcards and the texts between them.
        path: The path.
    """
    ends = {0}  # where the part of the path can end that the pieces so far match
    for piece in glob:
        if not ends:
            return False
        first = min(ends)
        if piece == "**/":
            ends |= {place + 1 for place in range(first, len(path)) if path[place] == "/"}
        elif piece == "**":
            ends = set(range(first, len(path) + 1))
        elif piece == "*":
            for place in range(first, len(path)):
                if place in ends and path[place] != "/":
                    ends.add(place + 1)
        elif piece == "?":
            ends = {end + 1 for end in ends if path[end : end + 1] not in ("", "/")}
        else:
            ends = {end + len(piece) for end in ends if path.startswith(piece, end)}
    return len(path) in ends
