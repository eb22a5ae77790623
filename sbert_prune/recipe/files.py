"""Recipes read from YAML files, with single values put over them; what is wrong is told in the words of parameters."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sbert_prune.errors import RecipeError
from sbert_prune.evaluation_settings import EvaluationSettings
from sbert_prune.recipe.recipe import Recipe, flatten, parameter_name
from sbert_prune.recipe.settings import GROUPS
from sbert_prune.recipe_yaml import read_yaml

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
        raise RecipeError(f"The recipe {path}: {EXTENDS} names one recipe, such as quickstart or other.yaml, not {extended}.")
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
    raise RecipeError(f"{asked}: no such recipe.{hint} Take one of {', '.join(presets())}, or a .yaml file of your own.")


def _put_over(tree: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with other values over it.

    A schedule says how many layers are left. What was noted about a value is forgotten with the value.
    """
    settled = dict(given)
    if given.get("schedule") and "layers" not in given:
        settled["layers"] = _end_of(given["schedule"])
    replaced = {parameter_name(path) for path in flatten(given)}
    notes = {key: tree[key] for key in ("hints", "downloads") if isinstance(tree.get(key), dict)}
    still_true = {key: {name: note for name, note in kept.items() if name not in replaced} for key, kept in notes.items()}
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
