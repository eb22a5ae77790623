"""Recipes read from YAML files, with single values put over them; what is wrong is told in the words of parameters."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sbert_prune.errors import RecipeError
from sbert_prune.phase_settings import GROUPS
from sbert_prune.recipe import Recipe

PRESETS = Path(__file__).parent / "recipes"


def load_recipe(name: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a preset by name, or the user's own YAML file, and override single values ({"nli.epochs": "2"}).

    Raises RecipeError naming the value, what was expected, and what to do.
    """
    path = _locate(name)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} is not readable YAML: {error}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"The recipe {path} holds {type(tree).__name__}, not a mapping of settings. Start from one of {PRESETS}.")
    for key, value in (overrides or {}).items():
        _set(tree, key, value)
    if tree.get("schedule") and ("layers" not in tree or ("schedule" in (overrides or {}) and "layers" not in (overrides or {}))):
        tree["layers"] = _end_of(tree["schedule"])
    tree.setdefault("registered_model", f"sbert-{tree.get('name', path.stem)}")
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(_explain(error, path)) from error


def _end_of(schedule: Any) -> str:
    """A schedule says how many layers are left in the end; one that is malformed is told of by its own name."""
    last = str(schedule[-1] if isinstance(schedule, list | tuple) else schedule).rpartition(",")[2].strip()
    return str(int(last)) if last.isdecimal() else "1"


def _set(tree: dict[str, Any], key: str, value: str) -> None:
    *branches, leaf = key.split(".")
    for branch in branches:
        if not isinstance(tree.setdefault(branch, {}), dict):
            raise RecipeError(f"{parameter_name(key)}={value}: the recipe's {branch} is {tree[branch]!r}, not a group of settings.")
        tree = tree[branch]
    tree[leaf] = value


def presets() -> tuple[str, ...]:
    """The names of the recipes in the package."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def _locate(name: str) -> Path:
    if name in presets():
        return PRESETS / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    near = get_close_matches(name, presets(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise RecipeError(f"recipe={name}: no such recipe.{hint} Take one of {', '.join(presets())}, or a .yaml file of your own.")


def _explain(error: ValidationError, path: Path) -> str:
    return "\n".join(_explain_one(dict(problem), path) for problem in error.errors())


def _explain_one(problem: dict[str, Any], path: Path) -> str:
    where = [part for part in problem["loc"] if isinstance(part, str)]
    name = parameter_name(".".join(where))
    if problem["type"] == "missing":
        advice = "" if name in {"name", *GROUPS} else f" or as a parameter, -P {name}=..."
        return f"The recipe {path.name} lacks {'.'.join(where)!r}. Give it there{advice or '.'}"
    if problem["type"] == "extra_forbidden":
        fields = _fields_beside(where)
        near = get_close_matches(where[-1], fields, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(fields)}."
        return f"The recipe {path.name} has an unknown setting {'.'.join(where)!r}.{hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not where:  # about several settings at once
        return f"The recipe {path.name}: {message}."
    return f"{name}={problem['input']}: {message[0].lower()}{message[1:]}."


def _fields_beside(where: list[str]) -> list[str]:
    return list(GROUPS.get(where[0], Recipe).model_fields if len(where) > 1 else Recipe.model_fields)


def parameter_name(path: str) -> str:
    """A recipe's setting as users give it: "nli.epochs" is nli_epochs."""
    return path.replace(".", "_")
