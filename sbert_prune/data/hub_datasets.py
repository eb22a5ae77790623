"""Data sets on a hub: choose the config and the files of a setting, and fetch its splits into huggingface_hub's cache.

A setting is `org/name`, with a config as in `org/name:mr` and a revision as in `org/name@v1.0` or
`org/name:mr@refs/convert/parquet`.
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
from sbert_prune.system.reading import MAX_CARD_BYTES, too_large

CONVERTED = "refs/convert/parquet"
"""The branch with the hub's conversion of a data set to parquet, which data sets that are loading scripts have too."""

_SETTING = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(:(?P<config>[^@:\s]+))?(@(?P<revision>[^@\s]+))?", re.ASCII)
_CARD = "README.md"
_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class HubSplits:
    """Files of a data set, on disk.

    Attributes:
        files: The files of each split, in their order.
        source: org/name:config@commit.
        commit: The commit's full hash.
        note: A remark for the user, or "".
    """

    files: dict[str, tuple[Path, ...]]
    source: str
    commit: str
    note: str


def is_hub_setting(setting: str) -> bool:
    """Return whether a setting has the form of a data set on a hub; a local path may have it too."""
    from sbert_prune.data.formats.read import is_data_file

    match = _SETTING.fullmatch(setting)
    return match is not None and (
        match["config"] is not None or match["revision"] is not None or not is_data_file(Path(setting))
    )


def fetch_splits(setting: str, required: Sequence[str], *, optional: Sequence[str] = ()) -> HubSplits:
    """Fetch splits of a data set; no other data file is downloaded.

    Args:
        setting: org/name, with a config and a revision as the module's docstring describes.
        required: The splits that the data set must have: "train", "dev", "test".
        optional: Further splits, fetched if it has them.

    Raises:
        HubError: The hub does not provide the data set.
        DataError: The data set has no such config or split.
    """
    parsed = _Setting.parse(setting)
    snapshot, notes = _snapshot(parsed)
    config, files = choose_config(parsed.repo_id, parsed.config, _data_files(snapshot), lambda: _card(snapshot))
    word = None if config == parsed.config else parsed.config
    splits = {split: split_of(files, split, word) for split in (*required, *optional)}
    if missing := [split for split in required if not splits[split]]:
        raise DataError(_no_split(parsed, snapshot, missing, files))
    if absent := [split for split in optional if not splits[split] and snapshot.is_from_cache]:
        notes.append(f"the cache has no {' and no '.join(absent)} split")
    splits = {split: files for split, files in splits.items() if files}
    notes += [
        f"{split} is partial: the hub converts the first part of a large split only"
        for split, files in splits.items()
        if files[0].is_partial
    ]
    folder = snapshot.fetch(file.path for files in splits.values() for file in files)
    name = parsed.config or config
    source = f"{parsed.repo_id}{f':{name}' if name else ''}@{snapshot.commit}"
    paths = {split: tuple(folder / file.path for file in files) for split, files in splits.items()}
    return HubSplits(paths, source, snapshot.commit, "; ".join(notes))


def choose_config(
    repo_id: str, name: str | None, files: list[NamedFile], card: Callable[[], str]
) -> tuple[str, list[NamedFile]]:
    """Return the name of a config with its files.

    A name that is not a config may be a word in the file names of the default config, such as a language: then that
    config is returned.

    Args:
        repo_id: The data set, for messages.
        name: The config; None for the only or the default one.
        files: All data files of the data set.
        card: Returns the README; called only if the file names do not decide.

    Raises:
        DataError: There is no such config, or one has to be chosen; the message lists the configs.
    """
    configs = _by_folder(files)
    default = _default(configs)
    if name in configs:
        return name, configs[name]
    if name == "default" and DEFAULT in configs:
        return DEFAULT, _as_train(configs[DEFAULT])
    if name is None and default is not None and any(file.split for file in configs[default]):
        return default, configs[default]
    declared, declared_default = read_card(card(), files)
    if name in declared:
        return name, declared[name]
    default = declared_default or _default(declared) or default
    configs |= declared
    if default is not None and (name is None or any(name in file.rest for file in configs[default])):
        return default, _as_train(configs[default])
    raise DataError(_no_config(repo_id, name, [config for config in configs if config != DEFAULT]))


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
                f"{setting!r} names no data set on a hub. Expected org/name, org/name:config, or either with @revision "
                "after it."
            )
        return cls(match["id"], match["config"], match["revision"])


def _snapshot(setting: _Setting) -> tuple[Snapshot, list[str]]:
    """Return the data set, or the hub's conversion if it has no data files of its own, with notes for the user."""
    snapshot = resolve(setting.repo_id, kind="dataset", revision=setting.revision)
    notes = [snapshot.note] if snapshot.note else []
    files = _data_files(snapshot)
    is_script = any(file.path == f"{setting.repo_id.partition('/')[2]}.py" for file in snapshot.files)
    if any(file.split for file in files) or (files and (setting.revision is not None or not is_script)):
        return snapshot, notes
    if setting.revision is not None:
        raise DataError(
            f"{_at(snapshot)} has no data file that can be read; it has "
            f"{_first_names(file.path for file in snapshot.files)}. {_conversion_hint(setting)}"
        )
    try:
        converted = resolve(setting.repo_id, kind="dataset", revision=CONVERTED, offline=snapshot.is_from_cache)
    except HubError as error:
        raise HubError(
            f"{_at(snapshot)} has no data file that can be read, and its conversion was not found: {error} "
            f"{_script_hint(setting)}"
        ) from error
    snapshot.fetch(())  # records in the cache that this commit has no data files, for runs without a network
    kind = "is a loading script" if is_script else "has no data files"
    notes.append(f"{setting.repo_id} {kind}; read from the hub's conversion, {CONVERTED}")
    return converted, notes


def _data_files(snapshot: Snapshot) -> list[NamedFile]:
    from sbert_prune.data.formats.read import is_data_file

    return [
        NamedFile.parse(file.path)
        for file in snapshot.files
        if is_data_file(Path(file.path)) and "/." not in f"/{file.path}"
    ]


def _card(snapshot: Snapshot) -> str:
    card = next((file for file in snapshot.files if file.path == _CARD), None)
    if card is None:
        return ""
    if card.size > MAX_CARD_BYTES:
        raise DataError(
            f"{_CARD} of {_at(snapshot)} is not read: {too_large(card.size, MAX_CARD_BYTES)}. Download the data files, "
            "and give their folder."
        )
    return (snapshot.fetch([_CARD]) / _CARD).read_text(encoding="utf-8", errors="replace")


def _by_folder(files: list[NamedFile]) -> Configs:
    """Group the files by config. If some have a split in their name, the others are left out as not being data."""
    configs: Configs = {}
    for file in [file for file in files if file.split is not None] or files:
        configs.setdefault(file.config, []).append(file)
    return configs


def _default(configs: Configs) -> str | None:
    if len(configs) == 1:
        return next(iter(configs))
    return next((name for name in (DEFAULT, "default") if name in configs), None)


def _as_train(files: list[NamedFile]) -> list[NamedFile]:
    """Return the files, as the train split if no name of a file contains a split."""
    return files if any(file.split for file in files) else [replace(file, split="train") for file in files]


def _no_config(repo_id: str, name: str | None, configs: list[str]) -> str:
    if name is None:
        return (
            f"{repo_id} has {len(configs)} configs: {_first_names(configs)}. Give one of them, such as "
            f"{repo_id}:{min(configs)}."
        )
    if near := get_close_matches(name, configs, n=3):
        hint = f"Did you mean {' or '.join(near)}?"
    else:
        hint = f"It has {_first_names(configs)}." if configs else f"It has none at all: give {repo_id}."
    return f"{repo_id} has no config {name!r}. {hint}"


def _no_split(setting: _Setting, snapshot: Snapshot, missing: list[str], files: list[NamedFile]) -> str:
    present = [split for split in _SPLITS if any(file.split == split for file in files)]
    where = f"The cache of {_at(snapshot)}" if snapshot.is_from_cache else _at(snapshot)
    config = f", config {setting.config}," if setting.config else ""
    advice = (
        "Run the command once with the hub in reach."
        if snapshot.is_from_cache
        else "Give another config or data set, or local files."
    )
    contents = f"{', '.join(present) or 'no split'} ({_first_names(file.path for file in files)})"
    return f"{where}{config} has no {' and no '.join(missing)} split; it has {contents}. {advice}"


def _conversion_hint(setting: _Setting) -> str:
    config = f":{setting.config}" if setting.config else ""
    return f"The hub's conversion is {setting.repo_id}{config}@{CONVERTED}, if there is one."


def _script_hint(setting: _Setting) -> str:
    return (
        f"Loading scripts are not run here: convert {setting.repo_id} to parquet, csv or jsonl where you trust its "
        "script, and give the folder."
    )


def _at(snapshot: Snapshot) -> str:
    return f"{snapshot.repo_id} at commit {snapshot.commit[:8]}"


def _first_names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:12]) + (f", ... ({len(ordered)} in all)" if len(ordered) > 12 else "")
