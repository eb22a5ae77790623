"""The cores that this process may use, and how many threads wait for them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from pipelines.doctor.findings import Finding, in_bytes
from sbert_prune.system.limits import Limits, affine_cores

_FAST = {"avx512_bf16": "AVX512_BF16", "amx_bf16": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}


def check_cores(limits: Limits, *, load: float | None = None) -> Finding:
    """What there is to compute with. load: the number of processes that wanted a core in the last minute; this machine's when left out."""
    cores, given = limits.num_cores(), os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() else affine_cores()  # what torch takes
    load = load if load is not None else os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    told = f"{cores:g} core{'s' * (cores != 1)}{_instructions()}, load {load:.1f}, OMP_NUM_THREADS {given or 'not set'}"
    if threads > max(1.0, cores):
        advice = f"{threads} threads would share {cores:g} cores, and wait for each other: say how many there are."
        return Finding("cores", "warn", told, advice, f"export OMP_NUM_THREADS={max(1, int(cores))}")
    if load > cores and not given:
        advice = "Other programs keep the cores busy: one thread can then be many times faster than several that wait for each other."
        return Finding("cores", "warn", told, advice, "export OMP_NUM_THREADS=1")
    return Finding("cores", "ok", told)


def _instructions() -> str:
    """What makes matrix products fast, as Linux lists it; nothing elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            flags = next((line.split() for line in file if line.startswith(("flags", "Features"))), [])
    except OSError:
        return ""
    there = [name for flag, name in _FAST.items() if flag in flags]
    return f" ({', '.join(there)})" if there else ""


_MANAGERS = ("pyenv", "uv", "conda", "virtualenv")


def check_managers(path: str | None = None) -> Finding:
    """Environment managers. MLflow makes the environment of python_env.yaml with pyenv, or with uv where it is told to.

    path: folders to look in; PATH when left out.
    """
    there = [name for name in _MANAGERS if shutil.which(name, path=path)]
    found = ", ".join(there) or "none of " + ", ".join(_MANAGERS)
    if "pyenv" in there:
        return Finding("environments", "ok", found)
    if "uv" in there:
        advice = "Plain `mlflow run .` needs pyenv; uv serves where it is asked for."
        return Finding("environments", "warn", found, advice, "mlflow run . -e full --env-manager uv")
    advice = "Plain `mlflow run .` needs pyenv to make an environment: let it use this one."
    return Finding("environments", "warn", found, advice, "mlflow run . -e full --env-manager local")


def check_git(path: str | None = None) -> Finding:
    """git, by which a run knows its commit. path: folders to look in; PATH when left out."""
    there = shutil.which("git", path=path)
    if there:
        return Finding("git", "ok", there)
    advice = "Without git, `mlflow run` takes local folders only, and runs do not know the commit of their code."
    return Finding("git", "warn", "not on PATH", advice, "apt-get install git")


_A_PARAMETER = 16
"""Bytes of training in float32: the weight, its gradient, and AdamW's two moments."""

_BESIDES = 1_500_000_000
"""Bytes of the libraries, the rows, and the activations of a batch."""


def needed_memory(parameters: int) -> int:
    """Bytes that training takes, roughly."""
    return _A_PARAMETER * parameters + _BESIDES


def check_memory(limits: Limits, parameters: int | None) -> Finding:
    """parameters: of the base; None where that is not known."""
    left = limits.memory_left()
    if parameters is None:
        return Finding("memory", "ok", f"{in_bytes(left)} left; what training takes is known once the base is")
    needed = needed_memory(parameters)
    told = f"{in_bytes(left)} left; training {parameters / 1e6:,.0f} M parameters takes about {in_bytes(needed)}"
    if needed <= left:
        return Finding("memory", "ok", told)
    advice = "Training will be short of memory. See what holds it, and end that; or take a machine with more, or a smaller base."
    return Finding("memory", "warn", told, advice, "ps aux -m | head" if sys.platform == "darwin" else "ps aux --sort=-rss | head")


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
