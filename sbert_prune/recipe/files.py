"""Recipes read from YAML files, with single values put over them; what is wrong is told in the words of parameters."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.recipe import Recipe, flatten, parameter_name
from sbert_prune.recipe.settings import GROUPS, EvaluationSettings

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
        raise RecipeError(
            f"The recipe {path} is not readable YAML: byte {error.start} is not UTF-8. Save it as UTF-8 text."
        ) from error
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"The recipe {path} is not readable YAML{_what_is_wrong(error, text)}") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in _NULLS):
        raise RecipeError(
            f"The recipe {path} is empty. Write settings, one a line, such as `extends: quickstart` and `layers: 3`."
        )
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
        raise RecipeError(
            f"The recipe {path} is not readable YAML, line {line}: a recipe has no tags such as {node.tag}. Leave it out."
        )
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
            raise RecipeError(
                f"The recipe {path} gives {key.value!r} twice, in lines {lines[key.value]} and {line}. Keep one of them."
            )
        lines[key.value] = line
        mapping[key.value] = _value(value, path, depth + 1)
    return mapping


PRESETS = Path(__file__).parent / "presets"

EXTENDS = "extends"

_OWN = {"name", "registered_model", "about"}
"""What a recipe does not take from the one that it extends."""


def load_recipe(name: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a preset by name, or the user's own YAML file, and override single values ({"nli.epochs": "2"}).

    A file that says `extends` takes another recipe's values, and puts its own over them. One without a name has its file's.

    Raises RecipeError naming the value, what was expected, and what to do.
    """
    path = _locate(name, Path(), f"recipe={name}")
    tree = _put_over(_resolve(path, ()), _nested(overrides or {}))
    if path.parent != PRESETS:
        tree.setdefault("name", path.stem)
    tree.setdefault("registered_model", f"sbert-{tree.get('name', path.stem)}")
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(_explain(error, path, tree)) from error


def presets() -> tuple[str, ...]:
    """The names of the recipes in the package."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def _resolve(path: Path, inside: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a file, over those of the recipe that it extends. inside: the files that lead here."""
    if path.resolve() in inside:
        way = " -> ".join(file.name for file in (*inside, path))
        raise RecipeError(f"The recipe {inside[0]} extends itself: {way}. Take `{EXTENDS}` out of one of them.")
    own = read_yaml(path)
    extended = own.pop(EXTENDS, None)
    if extended is None:
        return _put_over({}, own)
    if not isinstance(extended, str):
        raise RecipeError(
            f"The recipe {path}: {EXTENDS} names one recipe, such as quickstart or other.yaml, not {extended}."
        )
    parent = _locate(extended, path.parent, f"The recipe {path} has {EXTENDS}: {extended}")
    inherited = _resolve(parent, (*inside, path.resolve()))
    return _put_over({key: value for key, value in inherited.items() if key not in _OWN}, own)


def _locate(name: str, folder: Path, asked: str) -> Path:
    """The file of a preset, or of the user's own recipe as seen from a folder."""
    if name in presets():
        return PRESETS / f"{name}.yaml"
    file = folder / Path(name)
    if name.endswith((".yaml", ".yml")) and file.is_file():
        return file
    near = get_close_matches(name, presets(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise RecipeError(
        f"{asked}: no such recipe.{hint} Take one of {', '.join(presets())}, or a .yaml file of your own."
    )


def _put_over(tree: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with other values over it.

    A schedule says how many layers are left. What was noted about a value is forgotten with the value.
    """
    settled = dict(given)
    if given.get("schedule") and "layers" not in given:
        settled["layers"] = _end_of(given["schedule"])
    replaced = {parameter_name(path) for path in flatten(given)}
    notes = {key: tree[key] for key in ("hints", "downloads") if isinstance(tree.get(key), dict)}
    still_true = {
        key: {name: note for name, note in kept.items() if name not in replaced} for key, kept in notes.items()
    }
    return _merged({**tree, **still_true}, settled)


def _merged(tree: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for key, value in given.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _end_of(schedule: Any) -> str:
    """A schedule says how many layers are left in the end; one that is malformed is told of by its own name."""
    last = str(schedule[-1] if isinstance(schedule, list | tuple) else schedule).rpartition(",")[2].strip()
    return str(int(last)) if last.isdecimal() else "1"


def _nested(overrides: Mapping[str, str]) -> dict[str, Any]:
    """{"nli.epochs": "2"} as {"nli": {"epochs": "2"}}."""
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
        advice = "" if name in {"name", *GROUPS} else f" or as a parameter, -P {name}=..."
        hints = tree.get("hints")
        hint = f" {hints[name]}" if isinstance(hints, dict) and hints.get(name) else ""
        return f"The recipe {path.name} lacks {'.'.join(where)!r}. Give it there{advice or '.'}{hint}"
    if problem["type"] == "extra_forbidden":
        fields = _fields_beside(where)
        near = get_close_matches(where[-1], fields, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(fields)}."
        return f"The recipe {path.name} has an unknown setting {'.'.join(where)!r}.{hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not where:  # about several settings at once
        return f"The recipe {path.name}: {message}."
    if name in GROUPS:
        return f"{name}={problem['input']}: this is a group. Write its settings below it, indented, such as epochs: 1, or leave it out."
    return f"{name}={problem['input']}: {message[0].lower()}{message[1:]}."


_FIELDS = sorted(Recipe.model_fields, key=lambda name: name in EvaluationSettings.model_fields)


def _fields_beside(where: list[str]) -> list[str]:
    return list(GROUPS[where[0]].model_fields) if len(where) > 1 and where[0] in GROUPS else [*_FIELDS, EXTENDS]
