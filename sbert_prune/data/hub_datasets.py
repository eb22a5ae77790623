"""The splits of a data set on a hub, fetched into huggingface_hub's cache.

A setting is `org/name`, with a config as in `org/name:mr` and a revision as in `org/name@v1.0` or `org/name:mr@refs/convert/parquet`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Self

from sbert_prune.data.hub_layout import DEFAULT, Configs, NamedFile, read_card, split_of
from sbert_prune.errors import DataError, HubError
from sbert_prune.hub.snapshot import Snapshot, resolve


def choose_config(repo_id: str, asked: str | None, files: list[NamedFile], card: Callable[[], str]) -> tuple[str, list[NamedFile]]:
    """The name of the config with its files.

    asked: None for the only one, or the one that is the default.  card: gives the README, read where the files' names do not decide.
    A name that is no config may be a word in the names of the default's files, such as a language: then the default is meant.

    Raises DataError, with the names of the configs, for one that there is not, and where one has to be chosen.
    """
    configs = _by_folder(files)
    default = _default(configs)
    if asked in configs:
        return asked, configs[asked]
    if asked == "default" and DEFAULT in configs:
        return DEFAULT, _as_train(configs[DEFAULT])
    if asked is None and default is not None and any(file.split for file in configs[default]):
        return default, configs[default]
    declared, declared_default = read_card(card(), files)
    if asked in declared:
        return asked, declared[asked]
    default = declared_default or _default(declared) or default
    configs |= declared
    if default is not None and (asked is None or any(asked in file.rest for file in configs[default])):
        return default, _as_train(configs[default])
    raise DataError(_no_config(repo_id, asked, [name for name in configs if name != DEFAULT]))


def some(names: Iterable[str]) -> str:
    """Names in their order, the first twelve."""
    found = sorted(names)
    return ", ".join(found[:12]) + (f", ... ({len(found)} in all)" if len(found) > 12 else "")


def _by_folder(files: list[NamedFile]) -> Configs:
    """Files that tell no split are left out where others do: a table beside the data."""
    configs: Configs = {}
    for file in [file for file in files if file.split is not None] or files:
        configs.setdefault(file.config, []).append(file)
    return configs


def _default(configs: Configs) -> str | None:
    if len(configs) == 1:
        return next(iter(configs))
    return next((name for name in (DEFAULT, "default") if name in configs), None)


def _as_train(files: list[NamedFile]) -> list[NamedFile]:
    """Files of which none tells a split are the train split."""
    return files if any(file.split for file in files) else [replace(file, split="train") for file in files]


def _no_config(repo_id: str, asked: str | None, names: list[str]) -> str:
    if asked is None:
        return f"{repo_id} has {len(names)} configs: {some(names)}. Give one of them, such as {repo_id}:{min(names)}."
    near = get_close_matches(asked, names, n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"It has {some(names)}." if names else f"It has none at all: give {repo_id}."
    return f"{repo_id} has no config {asked!r}. {hint}"


CONVERTED = "refs/convert/parquet"
"""The branch in which the hub keeps data sets as parquet, those among them that are programs."""

_SETTING = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(:(?P<config>[^@:\s]+))?(@(?P<revision>[^@\s]+))?", re.ASCII)
_CARD = "README.md"
_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class HubSplits:
    """Files of a data set, on disk.

    files: of each split, in their order.  source: org/name:config@commit.  note: what a person should know; empty where there is nothing.
    """

    files: dict[str, tuple[Path, ...]]
    source: str
    commit: str
    note: str


@dataclass(frozen=True, slots=True)
class _Setting:
    repo_id: str
    config: str | None
    revision: str | None

    @classmethod
    def parse(cls, setting: str) -> Self:
        match = _SETTING.fullmatch(setting)
        if match is None:
            raise DataError(
                f"{setting!r} names no data set on a hub. Expected org/name, org/name:config, or either with @revision behind it."
            )
        return cls(match["id"], match["config"], match["revision"])


def is_hub_setting(setting: str) -> bool:
    """Whether a setting reads like a data set on a hub. A local path may do so as well, unless it ends as a data file does."""
    from sbert_prune.data.formats.read import is_data_file

    match = _SETTING.fullmatch(setting)
    return match is not None and (match["config"] is not None or match["revision"] is not None or not is_data_file(Path(setting)))


def fetch_splits(setting: str, wanted: Sequence[str], *, optional: Sequence[str] = ()) -> HubSplits:
    """Fetch the wanted splits ("train", "dev", "test"), and of the optional ones those that there are; no other file of data is downloaded.

    Raises HubError for a data set that the hub does not give; DataError for a config or split that it does not have.
    """
    asked = _Setting.parse(setting)
    snapshot, notes = _snapshot(asked)
    config, files = choose_config(asked.repo_id, asked.config, _data_files(snapshot), lambda: _card(snapshot))
    word = None if config == asked.config else asked.config
    splits = {split: split_of(files, split, word) for split in (*wanted, *optional)}
    if missing := [split for split in wanted if not splits[split]]:
        raise DataError(_no_split(asked, snapshot, missing, files))
    if absent := [split for split in optional if not splits[split] and snapshot.is_from_cache]:
        notes.append(f"the cache has no {' and no '.join(absent)} split")
    splits = {split: found for split, found in splits.items() if found}
    notes += [
        f"{split} is partial: the hub converts the first part of a large split only"
        for split, found in splits.items()
        if found[0].is_partial
    ]
    folder = snapshot.fetch(file.path for found in splits.values() for file in found)
    name = asked.config or config
    source = f"{asked.repo_id}{f':{name}' if name else ''}@{snapshot.commit}"
    paths = {split: tuple(folder / file.path for file in found) for split, found in splits.items()}
    return HubSplits(paths, source, snapshot.commit, "; ".join(notes))


def _snapshot(asked: _Setting) -> tuple[Snapshot, list[str]]:
    """What was asked for, or the conversion of a data set that has no data files of its own."""
    snapshot = resolve(asked.repo_id, kind="dataset", revision=asked.revision)
    notes = [snapshot.note] if snapshot.note else []
    files = _data_files(snapshot)
    is_program = any(file.path == f"{asked.repo_id.partition('/')[2]}.py" for file in snapshot.files)
    if any(file.split for file in files) or (files and (asked.revision is not None or not is_program)):
        return snapshot, notes
    if asked.revision is not None:
        raise DataError(
            f"{_at(snapshot)} has no data file that can be read; it has {some(file.path for file in snapshot.files)}. {_take(asked)}"
        )
    try:
        converted = resolve(asked.repo_id, kind="dataset", revision=CONVERTED, offline=snapshot.is_from_cache)
    except HubError as error:
        raise HubError(
            f"{_at(snapshot)} has no data file that can be read, and its conversion was not found: {error} {_convert(asked)}"
        ) from error
    snapshot.fetch(())  # so that without a network, too, it is known that this commit has none
    kind = "is a program" if is_program else "has no data files"
    notes.append(f"{asked.repo_id} {kind}; read from the hub's conversion, {CONVERTED}")
    return converted, notes


def _card(snapshot: Snapshot) -> str:
    if all(file.path != _CARD for file in snapshot.files):
        return ""
    return (snapshot.fetch([_CARD]) / _CARD).read_text(encoding="utf-8", errors="replace")


def _data_files(snapshot: Snapshot) -> list[NamedFile]:
    from sbert_prune.data.formats.read import is_data_file

    return [NamedFile.parse(file.path) for file in snapshot.files if is_data_file(Path(file.path)) and "/." not in f"/{file.path}"]


def _no_split(asked: _Setting, snapshot: Snapshot, missing: list[str], files: list[NamedFile]) -> str:
    there = [split for split in _SPLITS if any(file.split == split for file in files)]
    where = f"The cache of {_at(snapshot)}" if snapshot.is_from_cache else _at(snapshot)
    config = f", config {asked.config}," if asked.config else ""
    advice = (
        "Give the command once with the hub in reach." if snapshot.is_from_cache else "Give another config or data set, or local files."
    )
    held = f"{', '.join(there) or 'no split'} ({some(file.path for file in files)})"
    return f"{where}{config} has no {' and no '.join(missing)} split; it has {held}. {advice}"


def _at(snapshot: Snapshot) -> str:
    return f"{snapshot.repo_id} at commit {snapshot.commit[:8]}"


def _take(asked: _Setting) -> str:
    config = f":{asked.config}" if asked.config else ""
    return f"The hub's conversion is {asked.repo_id}{config}@{CONVERTED}, where there is one."


def _convert(asked: _Setting) -> str:
    return f"Programs of others are not run here: write {asked.repo_id} as parquet, csv or jsonl where you trust it, and give the folder."
