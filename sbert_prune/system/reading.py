"""How much is read from a file at most, so that a damaged or hostile one is refused before it fills memory or time."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

MAX_CONFIG_BYTES = 10_000_000
"""A config.json, modules.json, pruning.json or another file with settings."""

MAX_TOKENIZER_BYTES = 128_000_000
"""A tokenizer's file. The largest vocabularies in use, of a million pieces, take half of this."""

MAX_HEADER_BYTES = 20_000_000
"""The header of a safetensors file. A model of a thousand layers has 2 MB."""

MAX_CARD_BYTES = 1_000_000
"""The README.md of a data set on a hub."""

MAX_RECIPE_BYTES = 100_000
"""A recipe. The longest of the package has 3 kB."""

MAX_TEXT_CHARS = 131_072
"""A cell of a table, or a piece of a vocabulary. It is also the limit of Python's csv module."""

MAX_SETTING_CHARS = 1_000_000
"""A text in a file of settings. The longest in use, the characters' map of a tokenizer, has a third of this."""

MAX_PIECES = 20_000_000
"""The longest input and the largest vocabulary of an encoder that its config may announce, in pieces."""

MAX_WIDTH = 1_000_000
"""Any other size that a config may announce, such as that of a layer."""

MAX_DEPTH = 64
"""Groups and lists inside each other, in JSON."""


def read_bytes(path: Path, at_most: int) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: It is larger than `at_most` bytes.
    """
    with path.open("rb") as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise ValueError(too_large(path.stat().st_size, at_most))
    return content


def read_json(path: Path, at_most: int = MAX_CONFIG_BYTES) -> Any:
    """Return the value in a JSON file.

    Raises:
        ValueError: It is larger than `at_most` bytes, nested too deeply, or no JSON.
    """
    try:
        value = json.loads(read_bytes(path, at_most))
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if at_most <= MAX_CONFIG_BYTES:
        check_settings(value)
    return value


_TOO_DEEP = f"its brackets are nested more than {MAX_DEPTH} deep, the most that is read"


def check_settings(value: Any) -> None:
    """Raise ValueError for a JSON value that is nested too deeply to be copied, or has a text that is too long."""
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 2):
        parts = [part for group in level for part in _parts(group)]
        if (longest := max((len(part) for part in parts if isinstance(part, str)), default=0)) > MAX_SETTING_CHARS:
            raise ValueError(f"it has a text of {longest:,} characters; at most {MAX_SETTING_CHARS:,} are read")
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _parts(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return chain(value, value.values()) if isinstance(value, dict) else iter(value)


def too_large(num_bytes: int, at_most: int) -> str:
    """Return the reason why a file is not read."""
    return f"it has {num_bytes / 1e6:,.1f} MB; at most {at_most / 1e6:g} MB are read of such a file"
