"""Settings with several named values, such as `classification=trec=FOLDER,subj=FILE`."""

import re

from sbert_prune.errors import RecipeError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,49}", re.ASCII)
_NEXT = re.compile(r",(?=\s*[^=,/\\]*=)")
"""A comma before a name; a file may have commas in its name."""


def named_settings(text: str) -> dict[str, str]:
    """Parse "name=FOLDER,name2=FILE" into the values by their names, in the order given; nothing for an empty text.

    A comma separates where a name and an equals sign follow it; else it belongs to the value.

    Raises RecipeError for a part without a name or a value, a name that cannot be part of a metric's, and one that is given twice.
    """
    found: dict[str, str] = {}
    for part in _NEXT.split(text) if text.strip() else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise RecipeError(f"{part.strip()!r} has no name. {_EXPECTED}, for example {_suggested(name)}={name}.")
        if not _NAME.fullmatch(name):
            raise RecipeError(
                f"{name[:60]!r} cannot be a name: its metrics carry it. A name has at most 50 letters, digits, '.', '_' and '-', and "
                f"begins with a letter or digit. {_EXPECTED}."
            )
        if not value:
            raise RecipeError(f"{name}= has no value. {_EXPECTED}.")
        if name in found:
            raise RecipeError(f"The name {name!r} is given twice, for {found[name]} and for {value}. Give each its own.")
        found[name] = value
    return found


_EXPECTED = "Expected NAME=FOLDER or NAME=FILE, several with a comma between them"


def _suggested(value: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", re.split(r"[/\\]", value.rstrip("/\\"))[-1].partition(".")[0]).strip("-")
    return stem[:50] or "mine"
