"""The config of a data set on a hub that a setting means: a folder, one that the README declares, or the only one."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches

from sbert_prune.data.hub_card import Configs, read_card
from sbert_prune.data.hub_layout import DEFAULT, NamedFile
from sbert_prune.errors import DataError


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
