"""Python and the installed packages against what pyproject.toml asks for."""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from pipelines.doctor.findings import Finding

_OURS = "sbert-prune"
_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def wanted() -> tuple[str, list[str]]:
    """The range of Python, and the requirements: by pyproject.toml in a checkout, else as the installed package has them."""
    if _PYPROJECT.is_file():
        project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]
        return project["requires-python"], project["dependencies"]
    needed = [line for line in requires(_OURS) or [] if "extra ==" not in line]
    return str(metadata(_OURS)["Requires-Python"]), needed


def check_python(range_: str, *, running: str | None = None) -> Finding:
    """The interpreter. running: its version, this one's when left out."""
    from packaging.specifiers import SpecifierSet

    running = running or platform.python_version()
    found = f"{running} ({platform.system()} {platform.machine()})"
    if SpecifierSet(range_).contains(running, prereleases=True):
        return Finding("python", "ok", found)
    lowest = (re.findall(r">=\s*(\d+\.\d+)", range_) or ["3.11"])[0]
    advice = f"Python {range_} is needed; make an environment with one, and install there."
    return Finding("python", "fail", found, advice, f"python{lowest} -m venv .venv && .venv/bin/pip install -e .")


def check_packages(needed: Sequence[str]) -> Finding:
    """The installed distributions. needed: requirements as pip takes them."""
    from packaging.requirements import Requirement

    wrong = {}
    for line in needed:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        there = _installed(requirement.name)
        if there is None or not requirement.specifier.contains(there, prereleases=True):
            wrong[f'"{requirement.name}{requirement.specifier}"'] = f"{requirement.name} {there or 'is missing'}"
    if not wrong:
        return Finding("packages", "ok", f"{len(needed)} as pyproject.toml asks for")
    advice = "Install what pyproject.toml asks for, into this environment."
    return Finding("packages", "fail", "; ".join(wrong.values()), advice, f"pip install {' '.join(wrong)}")


def look_at_packages() -> list[Finding]:
    """Both rows."""
    range_, needed = wanted()
    return [check_python(range_), check_packages(needed)]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
