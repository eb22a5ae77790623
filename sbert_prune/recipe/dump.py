"""A recipe written down: as YAML that is read back to an equal recipe, and in a few lines for people."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.recipe import Recipe, flatten
from sbert_prune.recipe.settings import GROUPS, EvaluationSettings

_FIRST, _LAST = ("name", "about"), ("registered_model", *EvaluationSettings.model_fields, "hints", "downloads")


class _TextDumper(yaml.SafeDumper):
    """Writes texts plainly where they cannot be taken for null, as the reader takes nothing else for anything but text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own table
        first: [rule for rule in rules if rule[0].endswith(":null")]
        for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """In double quotes where a character would end a line: YAML knows more of these than \\n, and joins lines again with a blank."""
    plain = text.isprintable() and len(text.splitlines()) == 1
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_TextDumper.add_representer(str, _represent_text)
_TextDumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def dump_recipe(recipe: Recipe) -> str:
    """Every value of a recipe as YAML, defaults too; `load_recipe` reads it back to an equal recipe."""
    tree = recipe.model_dump(mode="json")
    ends = {*_FIRST, *_LAST}
    ordered = {key: tree[key] for key in (*_FIRST, *(key for key in tree if key not in ends), *_LAST)}
    kept = {key: value for key, value in ordered.items() if key not in {"about", "hints", "downloads"} or value}
    return str(yaml.dump(_texts(kept), Dumper=_TextDumper, sort_keys=False, allow_unicode=True, width=140))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def recipe_written(recipe: Recipe, path: Path) -> Iterator[None]:
    """Write a recipe to a file as `write_recipe_file` does; one that is new goes again where the block fails."""
    is_new = write_recipe_file(recipe, path)
    try:
        yield
    except BaseException:
        if is_new:
            path.unlink(missing_ok=True)
        raise


def write_recipe_file(recipe: Recipe, path: Path) -> bool:
    """Write a recipe to a new file, to be taken again as -P recipe=FILE; returns whether it is new. One that holds the same stays.

    Raises RecipeError for a file that holds anything else, and for a place that cannot hold one.
    """
    text = f"# {path.name}: every value of a recipe, as it was used. Take it again with -P recipe={path.name}\n{dump_recipe(recipe)}"
    if path.suffix not in {".yaml", ".yml"}:
        raise RecipeError(f"write_recipe={path}: a recipe's file ends in .yaml. Write write_recipe={path}.yaml")
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        if not path.is_file() or path.read_bytes() != text.encode():
            raise RecipeError(
                f"write_recipe={path} exists, and holds something else. Give another name, or move it away first."
            ) from error
        return False
    except OSError as error:
        raise RecipeError(
            f"write_recipe={path} cannot be written: {error.strerror}. Give a file in a folder that you may write to."
        ) from error
    return True


def describe_recipe(recipe: Recipe) -> list[str]:
    """A recipe in a few lines, one a group: what differs from the defaults, and the data. Groups that nothing uses are left out."""
    flat, defaults = recipe.flat(), _defaults() | {"name": recipe.name, "registered_model": f"sbert-{recipe.name}"}
    told = {
        key: value for key, value in flat.items() if value != defaults.get(key, "") or (value and key.endswith(".data"))
    }
    used = {*recipe.phases, *(["distil"] if recipe.has_teacher else [])}
    lines = []
    for group in ("", *GROUPS):
        own = {key.rpartition(".")[2]: value for key, value in told.items() if key.rpartition(".")[0] == group}
        if group and group not in used:
            own = {key: value for key, value in own.items() if key == "data"}
        if own:
            title = f"  {group}" if group else f"recipe {recipe.name}"
            lines.append(f"{title}: {', '.join(f'{key}={own[key]}' for key in sorted(own, key=_place))}")
    return lines


def _place(key: str) -> tuple[bool, bool]:
    """The data first, what the result is judged on last."""
    return key != "data", key in EvaluationSettings.model_fields


def _defaults() -> dict[str, str]:
    """Every setting that has a default, as a flat text."""
    trees: dict[str, Any] = {"": Recipe, **GROUPS}
    flat: dict[str, str] = {}
    for group, settings in trees.items():
        fields = {
            name: field.default
            for name, field in settings.model_fields.items()
            if not field.is_required() and name not in GROUPS
        }
        flat |= flatten(fields, f"{group}." if group else "")
    return flat
