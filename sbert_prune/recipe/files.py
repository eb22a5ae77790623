"""Loading of recipes from YAML files, with inheritance and overrides; errors name the parameters."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.fields import fields_in_order
from sbert_prune.recipe.recipe import Recipe, flatten, parameter_name
from sbert_prune.recipe.settings import GROUPS
from sbert_prune.system.reading import MAX_RECIPE_BYTES, read_bytes

_NULLS = {"", "~", "null", "Null", "NULL"}
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")}
_DEEPEST = 3
"""A list in a group in the file. Deeper nesting is not a recipe, and could be a file that contains itself."""

_TOO_DEEP = f"no setting is nested that deeply. At most {_DEEPEST} levels are read: indent less, or close a bracket"

_MAX_SHOWN_CHARS = 200
"""Of a line, in a message."""

_MAX_VALUES = 10_000
"""Settings and entries of lists in a file. An anchor counts each time it is used: a few of them make millions."""

_MAX_EXTENDED = 20
"""Recipes that inherit from each other in a chain."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping in a file. Its values are strings, lists and mappings of them, and None for null.

    YAML's implicit types are not used: with them, 012 is ten, 1:30 is ninety, `no` is false, and 1e-4 is not a number.

    Raises RecipeError naming the file, and the line if it is known.
    """
    try:
        text = read_bytes(path, MAX_RECIPE_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"The recipe {path} is not readable YAML: byte {error.start} is not UTF-8. Save it as UTF-8 text."
        ) from error
    except ValueError as error:
        raise RecipeError(f"The recipe {path} is not read: {error}. Give a file with settings.") from error
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"The recipe {path} is not readable YAML{_yaml_problem(error, text)}") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in _NULLS):
        raise RecipeError(
            f"The recipe {path} is empty. Write settings, one per line, such as `extends: quickstart` and `layers: 3`."
        )
    if not isinstance(root, yaml.MappingNode):
        content = "a list" if isinstance(root, yaml.SequenceNode) else "a single text"
        raise RecipeError(
            f"The recipe {path} contains {content}, not settings. Write them as `name: value`, one per line."
        )
    tree: dict[str, Any] = _value(root, path, 0, iter(range(_MAX_VALUES)))
    return tree


class _Loader(yaml.BaseLoader):
    """Stops at nesting that no recipe has, which would take seconds to parse and then exceed Python's recursion."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node with those inside it. Raises ComposerError for one that is nested too deeply."""
        self._depth += 1
        if self._depth > 2 * _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
            raise yaml.composer.ComposerError(None, None, _TOO_DEEP, mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _yaml_problem(error: yaml.YAMLError, text: str) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f": {str(error).splitlines()[0]}."
    number = error.problem_mark.line
    lines = text.splitlines()
    line = lines[number] if number < len(lines) else ""
    advice = " Indent with spaces: YAML takes no tabs." if line[: len(line) - len(line.lstrip())].count("\t") else ""
    content = line.strip()[:_MAX_SHOWN_CHARS] + ("..." if len(line.strip()) > _MAX_SHOWN_CHARS else "")
    shown = f" That line is: {content}" if content else ""
    return f", line {number + 1}: {error.problem}.{advice}{shown}"


def _value(node: yaml.Node, path: Path, depth: int, budget: Iterator[int]) -> Any:
    """Return the value of a node. budget: an item for each further value that the file may have."""
    line = node.start_mark.line + 1
    if node.tag not in _TAGS:
        raise RecipeError(
            f"The recipe {path} is not readable YAML, line {line}: a recipe has no tags such as {node.tag}. Remove it."
        )
    if depth > _DEEPEST:
        raise RecipeError(f"The recipe {path}, line {line}: {_TOO_DEEP}.")
    if next(budget, None) is None:
        raise RecipeError(f"The recipe {path}, line {line}: more than {_MAX_VALUES:,} values. Use fewer anchors.")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, depth, budget)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, path, depth + 1, budget) for item in node.value]
    plain_null = isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS
    return None if plain_null else node.value


def _mapping(node: yaml.MappingNode, path: Path, depth: int, budget: Iterator[int]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise RecipeError(f"The recipe {path}, line {line}: a setting's name is a word, not a list or a group.")
        if key.value in lines:
            raise RecipeError(
                f"The recipe {path} gives {key.value!r} twice, in lines {lines[key.value]} and {line}. Keep one of "
                "them."
            )
        lines[key.value] = line
        mapping[key.value] = _value(value, path, depth + 1, budget)
    return mapping


PRESETS = Path(__file__).parent / "presets"

EXTENDS = "extends"

_OWN = ("base_model", ".data")
"""How the settings end that say what a recipe is about."""

_NOT_INHERITED = {"name", "registered_model", "about"}
"""Values that a recipe does not inherit."""


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load a preset by name or a YAML file by path, and override single values.

    A file with `extends` inherits the values of another recipe. A file without a name is named after the file.

    Args:
        name: A preset, or the path of a YAML file.
        overrides: Values by setting, such as {"nli.epochs": "2"}.

    Raises:
        RecipeError: A value is wrong; the message names it, what was expected, and what to do.
    """
    path = _locate(name, Path(), f"recipe={name}")
    tree = _overlaid(_resolve(path, ()), _nested(overrides or {}))
    if own := [f"{parameter_name(key)}={value}" for key, value in (overrides or {}).items() if key.endswith(_OWN)]:
        tree["about"] = f"{tree.get('name', path.stem)} with {', '.join(own)}"  # its own line describes other data
    if path.parent != PRESETS:
        tree.setdefault("name", path.stem)
    tree.setdefault("registered_model", f"sbert-{tree.get('name', path.stem)}")
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(_explain(error, path, tree)) from error


def presets() -> tuple[str, ...]:
    """Return the names of the recipes in the package."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def _resolve(path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    """Return the values of a file merged over those of the recipe that it extends. chain: the files that led here."""
    if path.resolve() in chain:
        cycle = " -> ".join(file.name for file in (*chain, path))
        raise RecipeError(f"The recipe {chain[0]} extends itself: {cycle}. Remove `{EXTENDS}` from one of them.")
    if len(chain) == _MAX_EXTENDED:
        raise RecipeError(
            f"The recipe {chain[0]} inherits through more than {_MAX_EXTENDED} recipes, the most that are read. "
            f"Remove `{EXTENDS}` from one of them."
        )
    values = read_yaml(path)
    extended = values.pop(EXTENDS, None)
    if extended is None:
        return _overlaid({}, values)
    if not isinstance(extended, str):
        raise RecipeError(
            f"The recipe {path}: {EXTENDS} names one recipe, such as quickstart or other.yaml, not {extended}."
        )
    parent = _locate(extended, path.parent, f"The recipe {path} has {EXTENDS}: {extended}")
    inherited = _resolve(parent, (*chain, path.resolve()))
    return _overlaid({key: value for key, value in inherited.items() if key not in _NOT_INHERITED}, values)


def _locate(name: str, folder: Path, context: str) -> Path:
    """Return the file of a preset, or of a recipe of the user relative to a folder."""
    if name in presets():
        return PRESETS / f"{name}.yaml"
    file = folder / Path(name)
    if name.endswith((".yaml", ".yml")) and file.is_file():
        return file
    plain = name.removesuffix("-modern")
    if plain != name and plain in presets():
        raise RecipeError(
            f"{context}: this recipe is called {plain} now: the plain name has the best settings known, {plain}-paper "
            f"those of the paper. Use {plain}."
        )
    similar = get_close_matches(name, presets(), n=1)
    hint = f" Did you mean {similar[0]!r}?" if similar else ""
    raise RecipeError(
        f"{context}: no such recipe.{hint} Use one of {', '.join(presets())}, or a .yaml file of your own."
    )


def _overlaid(tree: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Merge other values over a tree.

    A schedule also sets `layers`. Hints and downloads of a replaced value are removed.
    """
    values = dict(overlay)
    if overlay.get("schedule") and "layers" not in overlay:
        values["layers"] = _end_of(overlay["schedule"])
    replaced = {parameter_name(path) for path in flatten(overlay)}
    notes = {key: tree[key] for key in ("hints", "downloads") if isinstance(tree.get(key), dict)}
    remaining = {
        key: {name: note for name, note in texts.items() if name not in replaced} for key, texts in notes.items()
    }
    return _merged({**tree, **remaining}, values)


def _merged(tree: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for key, value in overlay.items():
        nested = merged.get(key)
        merged[key] = _merged(nested, value) if isinstance(nested, dict) and isinstance(value, dict) else value
    return merged


def _end_of(schedule: Any) -> str:
    """Return the final number of layers of a schedule. A malformed one gives "1": its own validation reports it."""
    last = str(schedule[-1] if isinstance(schedule, list | tuple) else schedule).rpartition(",")[2].strip()
    return str(int(last)) if last.isdecimal() else "1"


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Convert {"nli.epochs": "2"} to {"nli": {"epochs": "2"}}."""
    tree: dict[str, Any] = {}
    for key, value in overrides.items():
        *groups, leaf = key.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = value
    return tree


def _explain(error: ValidationError, path: Path, tree: Mapping[str, Any]) -> str:
    return "\n".join(_explain_one(dict(problem), path, tree) for problem in error.errors())


def _explain_one(problem: dict[str, Any], path: Path, tree: Mapping[str, Any]) -> str:
    where = [part for part in problem["loc"] if isinstance(part, str)]
    name = parameter_name(".".join(where))
    if problem["type"] == "missing":
        advice = "" if name in {"name", *GROUPS} else f" or as the parameter {name}"
        hints = tree.get("hints")
        hint = f" {hints[name]}" if isinstance(hints, dict) and hints.get(name) else ""
        return f"The recipe {path.name} lacks {'.'.join(where)!r}. Give it there{advice}.{hint}"
    if problem["type"] == "extra_forbidden":
        fields = _fields_beside(where)
        near = get_close_matches(where[-1], fields, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(fields)}."
        return f"The recipe {path.name} has an unknown setting {'.'.join(where)!r}.{hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not where:  # concerns several settings
        return f"The recipe {path.name}: {message}."
    if name in GROUPS:
        advice = "Write its settings below it, indented, such as epochs: 1, or leave it out."
        return f"{name}={problem['input']}: this is a group. {advice}"
    return f"{name}={problem['input']}: {message[0].lower()}{message[1:]}."


def _fields_beside(where: list[str]) -> list[str]:
    if len(where) > 1 and where[0] in GROUPS:
        return list(fields_in_order(GROUPS[where[0]]))
    return [*fields_in_order(Recipe), EXTENDS]
