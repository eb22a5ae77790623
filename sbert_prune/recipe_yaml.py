"""A YAML file read as texts: a value means there what the same text means as a parameter."""

from pathlib import Path
from typing import Any

import yaml

from sbert_prune.errors import RecipeError

_NULLS = {"", "~", "null", "Null", "NULL"}
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")}
_DEEPEST = 3
"""A list in a group in the file. More is no recipe, and might be a file that holds itself."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a file holds: its values are texts, lists and mappings of these, and None for null.

    YAML's own guesses are not made: there 012 is ten, 1:30 is ninety, `no` is false, and 1e-4 is no number.

    Raises RecipeError that names the file, and the line where it is known.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"The recipe {path} is not readable YAML: byte {error.start} is not UTF-8. Save it as UTF-8 text.") from error
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"The recipe {path} is not readable YAML{_what_is_wrong(error, text)}") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in _NULLS):
        raise RecipeError(f"The recipe {path} is empty. Write settings, one a line, such as `extends: quickstart` and `layers: 3`.")
    if not isinstance(root, yaml.MappingNode):
        held = "a list" if isinstance(root, yaml.SequenceNode) else "a single text"
        raise RecipeError(f"The recipe {path} holds {held}, not settings. Write them as `name: value`, one a line.")
    tree: dict[str, Any] = _value(root, path, 0)
    return tree


def _what_is_wrong(error: yaml.YAMLError, text: str) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f": {str(error).splitlines()[0]}."
    number = error.problem_mark.line
    lines = text.splitlines()
    line = lines[number] if number < len(lines) else ""
    advice = " Indent with spaces: YAML takes no tabs." if line[: len(line) - len(line.lstrip())].count("\t") else ""
    shown = f" That line is: {line.strip()}" if line.strip() else ""
    return f", line {number + 1}: {error.problem}.{advice}{shown}"


def _value(node: yaml.Node, path: Path, depth: int) -> Any:
    line = node.start_mark.line + 1
    if node.tag not in _TAGS:
        raise RecipeError(f"The recipe {path} is not readable YAML, line {line}: a recipe has no tags such as {node.tag}. Leave it out.")
    if depth > _DEEPEST:
        raise RecipeError(f"The recipe {path}, line {line}: no setting lies that deep. Indent less.")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, depth)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, path, depth + 1) for item in node.value]
    plain_null = isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS
    return None if plain_null else node.value


def _mapping(node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise RecipeError(f"The recipe {path}, line {line}: a setting's name is a word, not a list or a group.")
        if key.value in lines:
            raise RecipeError(f"The recipe {path} gives {key.value!r} twice, in lines {lines[key.value]} and {line}. Keep one of them.")
        lines[key.value] = line
        mapping[key.value] = _value(value, path, depth + 1)
    return mapping
