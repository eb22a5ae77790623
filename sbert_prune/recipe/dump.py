"""Writing a recipe: as YAML that loads to an equal recipe, and as a short description."""

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
    """Writes strings without quotes unless they could be read as null, the only special value of our reader."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own table
        first: [rule for rule in rules if rule[0].endswith(":null")]
        for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Use double quotes for strings with line breaks: YAML has more of them than \\n, and folds lines."""
    plain = text.isprintable() and len(text.splitlines()) == 1
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_TextDumper.add_representer(str, _represent_text)
_TextDumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def dump_recipe(recipe: Recipe) -> str:
    """Return all values of a recipe as YAML, including defaults; `load_recipe` reads it back to an equal recipe."""
    tree = recipe.model_dump(mode="json")
    ends = {*_FIRST, *_LAST}
    ordered = {key: tree[key] for key in (*_FIRST, *(key for key in tree if key not in ends), *_LAST)}
    shown = {key: value for key, value in ordered.items() if key not in {"about", "hints", "downloads"} or value}
    return str(yaml.dump(_texts(shown), Dumper=_TextDumper, sort_keys=False, allow_unicode=True, width=140))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(nested) for key, nested in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def recipe_written(recipe: Recipe, path: Path) -> Iterator[None]:
    """Write a recipe as `write_recipe_file` does, and delete a newly written file if the block fails."""
    is_new = write_recipe_file(recipe, path)
    try:
        yield
    except BaseException:
        if is_new:
            path.unlink(missing_ok=True)
        raise


def write_recipe_file(recipe: Recipe, path: Path) -> bool:
    """Write a recipe to a new file, for use as -P recipe=FILE. An existing file with the same content is left as it is.

    Returns:
        Whether the file is new.

    Raises:
        RecipeError: The file exists with other content, or cannot be written.
    """
    # An existing file counts as the same only if this comment is the same, so do not change its words.
    comment = f"# {path.name}: every value of a recipe, as it was used. Take it again with -P recipe={path.name}"
    text = f"{comment}\n{dump_recipe(recipe)}"
    if path.suffix not in {".yaml", ".yml"}:
        raise RecipeError(
            f"write_recipe={path}: the file name of a recipe must end in .yaml. Use write_recipe={path}.yaml"
        )
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        if not path.is_file() or path.read_bytes() != text.encode():
            raise RecipeError(
                f"write_recipe={path} exists with other content. Give another name, or move it away first."
            ) from error
        return False
    except OSError as error:
        raise RecipeError(
            f"write_recipe={path} cannot be written: {error.strerror}. Give a file in a folder that you may write to."
        ) from error
    return True


def describe_recipe(recipe: Recipe) -> list[str]:
    """Describe a recipe in a few lines, one per group: values that differ from the defaults, and the data.

    Groups of unused phases are left out.
    """
    flat, defaults = recipe.flat(), _defaults() | {"name": recipe.name, "registered_model": f"sbert-{recipe.name}"}
    shown = {
        key: value for key, value in flat.items() if value != defaults.get(key, "") or (value and key.endswith(".data"))
    }
    used = {*recipe.phases, *(["distil"] if recipe.has_teacher else [])}
    lines = []
    for group in ("", *GROUPS):
        values = {key.rpartition(".")[2]: value for key, value in shown.items() if key.rpartition(".")[0] == group}
        if group and group not in used:
            values = {key: value for key, value in values.items() if key == "data"}
        if values:
            title = f"  {group}" if group else f"recipe {recipe.name}"
            lines.append(f"{title}: {', '.join(f'{key}={values[key]}' for key in sorted(values, key=_sort_key))}")
    return lines


def _sort_key(key: str) -> tuple[bool, bool]:
    """Sort key: the data first, evaluation settings last."""
    return key != "data", key in EvaluationSettings.model_fields


def _defaults() -> dict[str, str]:
    """Return the defaults of all settings that have one, as flat text."""
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
