"""The configs that the README of a data set on a hub declares: https://huggingface.co/docs/hub/datasets-manual-configuration"""

import re
from collections.abc import Iterable
from typing import Any

from sbert_prune.data.folders import SPLIT_WORDS
from sbert_prune.data.hub_layout import NamedFile

Configs = dict[str, list[NamedFile]]


def read_card(text: str, files: Iterable[NamedFile]) -> tuple[Configs, str | None]:
    """The files of each declared config under the splits that it gives them, and the name of the one that is the default.

    Nothing for a README without such a declaration, or with one that cannot be read.
    """
    known = list(files)
    configs: Configs = {}
    default = None
    for declared in _declared(text):
        name = str(declared.get("config_name", "default"))
        configs[name] = [file for entry in _entries(declared) for file in _matching(*entry, known)]
        default = name if declared.get("default") is True else default
    return configs, default


def _declared(text: str) -> list[dict[str, Any]]:
    import yaml

    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        found = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        return []
    configs = found.get("configs") if isinstance(found, dict) else None
    return [config for config in configs if isinstance(config, dict)] if isinstance(configs, list) else []


def _entries(declared: dict[str, Any]) -> list[tuple[str | None, list[str]]]:
    """The splits of a config with their patterns; None where the names of the files tell the split."""
    folder = str(declared.get("data_dir") or "").strip("/")
    found = declared.get("data_files", "**")
    entries = found if isinstance(found, list) and all(isinstance(entry, dict) for entry in found) else [{"path": found}]
    return [
        (str(entry["split"]) if "split" in entry else None, [_join(folder, pattern) for pattern in _as_list(entry.get("path"))])
        for entry in entries
    ]


def _as_list(patterns: Any) -> list[str]:
    return [str(pattern) for pattern in (patterns if isinstance(patterns, list) else [patterns])]


def _join(folder: str, pattern: str) -> str:
    return f"{folder}/{pattern}" if folder else pattern.removeprefix("./")


def _matching(word: str | None, patterns: list[str], files: list[NamedFile]) -> list[NamedFile]:
    expressions = [_expression(pattern) for pattern in patterns]
    matched = [file for file in files if any(expression.fullmatch(file.path) for expression in expressions)]
    if word is None:
        return [NamedFile(file.path, "", file.split or "train", frozenset(), file.is_partial) for file in matched]
    split = SPLIT_WORDS.get(re.split(r"[^a-z]", word.lower())[0])
    rest = frozenset() if word.lower() in SPLIT_WORDS else frozenset({word.lower()})
    return [NamedFile(file.path, "", split, rest, file.is_partial) for file in matched]


def _expression(pattern: str) -> re.Pattern[str]:
    """Of a glob in which `*` stays inside of a folder and `**` does not."""
    parts = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces))
