"""Check Python, packages, cores, memory and programs of this machine."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from pipelines.doctor.findings import Finding, in_bytes
from sbert_prune.system.command_line import is_console_script
from sbert_prune.system.limits import Limits, affine_cores

_FAST = {"avx512_bf16": "AVX512_BF16", "amx_bf16": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}


def check_cores(limits: Limits, *, load: float | None = None) -> Finding:
    """Check that there are not more threads than cores.

    Args:
        limits: Of this process.
        load: Average number of runnable processes in the last minute; None measures it.
    """
    cores, setting = limits.num_cores(), os.environ.get("OMP_NUM_THREADS", "")
    threads = int(setting) if setting.isdecimal() else affine_cores()  # torch's default
    load = load if load is not None else os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    summary = (
        f"{cores:g} core{'s' * (cores != 1)}{_instructions()}, load {load:.1f}, OMP_NUM_THREADS {setting or 'not set'}"
    )
    if threads > max(1.0, cores):
        advice = f"{threads} threads would share {cores:g} cores, and wait for each other: set their number."
        return Finding("cores", "warn", summary, advice, f"export OMP_NUM_THREADS={max(1, int(cores))}")
    if load > cores and not setting:
        advice = (
            "Other programs keep the cores busy: "
            "one thread can then be many times faster than several that wait for each other."
        )
        return Finding("cores", "warn", summary, advice, "export OMP_NUM_THREADS=1")
    return Finding("cores", "ok", summary)


def _instructions() -> str:
    """Return the instruction sets that speed up matrix products, on Linux; empty elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            flags = next((line.split() for line in file if line.startswith(("flags", "Features"))), [])
    except OSError:
        return ""
    names = [name for flag, name in _FAST.items() if flag in flags]
    return f" ({', '.join(names)})" if names else ""


_MANAGERS = ("pyenv", "uv", "conda", "virtualenv")


def check_managers(path: str | None = None) -> Finding:
    """Check the environment managers: MLflow creates the environment of python_env.yaml with pyenv, or uv on request.

    Args:
        path: Folders to search; PATH where None.
    """
    managers = [name for name in _MANAGERS if shutil.which(name, path=path)]
    summary = ", ".join(managers) or "none of " + ", ".join(_MANAGERS)
    if is_console_script():
        return Finding("environments", "-", f"{summary}: only `mlflow run` needs one")
    if "pyenv" in managers:
        return Finding("environments", "ok", summary)
    if "uv" in managers:
        advice = "Plain `mlflow run .` needs pyenv; with uv, name it on the command line."
        return Finding("environments", "warn", summary, advice, "mlflow run . -e full --env-manager uv")
    advice = "Plain `mlflow run .` needs pyenv to create an environment: let it use this one."
    return Finding("environments", "warn", summary, advice, "mlflow run . -e full --env-manager local")


def check_git(path: str | None = None) -> Finding:
    """Check for git, with which runs record the commit of their code.

    Args:
        path: Folders to search; PATH where None.
    """
    program = shutil.which("git", path=path)
    if program:
        return Finding("git", "ok", program)
    advice = "Without git, `mlflow run` works with local folders only, and runs do not record the commit of their code."
    return Finding("git", "warn", "not on PATH", advice, "apt-get install git")


_BYTES_PER_PARAMETER = 16
"""Training in float32: the weight, its gradient, and AdamW's two moments."""

_FIXED_BYTES = 1_500_000_000
"""Memory of the libraries, the rows, and the activations of a batch."""


def needed_memory(parameters: int) -> int:
    """Estimate the bytes that training takes."""
    return _BYTES_PER_PARAMETER * parameters + _FIXED_BYTES


def check_memory(limits: Limits, parameters: int | None) -> Finding:
    """Check that the memory is enough to train a base of so many parameters; None where their number is unknown."""
    left = limits.memory_left()
    if parameters is None:
        summary = f"{in_bytes(left)} left; the memory for training is estimated once the base is downloaded"
        return Finding("memory", "ok", summary)
    needed = needed_memory(parameters)
    summary = f"{in_bytes(left)} left; training {parameters / 1e6:,.0f} M parameters takes about {in_bytes(needed)}"
    if needed <= left:
        return Finding("memory", "ok", summary)
    advice = "Training may run out of memory. End other programs, or use a larger machine or a smaller base."
    command = "ps aux -m | head" if sys.platform == "darwin" else "ps aux --sort=-rss | head"
    return Finding("memory", "warn", summary, advice, command)


_PACKAGE = "sbert-prune"
_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
_CONSTRAINTS = _PYPROJECT.with_name("constraints.txt")


def requirements() -> tuple[str, list[str]]:
    """Return the supported Python versions and the required packages.

    They come from pyproject.toml in a checkout, else from the installed package.
    """
    if _PYPROJECT.is_file():
        project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]
        return project["requires-python"], project["dependencies"]
    needed = [line for line in requires(_PACKAGE) or [] if "extra ==" not in line]
    return str(metadata(_PACKAGE)["Requires-Python"]), needed


def check_python(range_: str, *, running: str | None = None) -> Finding:
    """Check the version of Python.

    Args:
        range_: The supported versions, such as >=3.11.
        running: The version to check; that of this process where None.
    """
    from packaging.specifiers import SpecifierSet

    running = running or platform.python_version()
    summary = f"{running} ({platform.system()} {platform.machine()})"
    if SpecifierSet(range_).contains(running, prereleases=True):
        return Finding("python", "ok", summary)
    lowest = (re.findall(r">=\s*(\d+\.\d+)", range_) or ["3.11"])[0]
    advice = f"Python {range_} is needed: create an environment with it, and install into that."
    command = f"python{lowest} -m venv .venv && .venv/bin/pip install -c constraints.txt -e ."
    return Finding("python", "fail", summary, advice, command)


def check_packages(needed: Sequence[str]) -> Finding:
    """Check the installed packages against requirements in pip's syntax."""
    from packaging.requirements import Requirement

    wrong = {}
    for line in needed:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        installed = _installed(requirement.name)
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            wrong[f'"{requirement.name}{requirement.specifier}"'] = f"{requirement.name} {installed or 'is missing'}"
    if not wrong:
        return Finding("packages", "ok", f"{len(needed)} as required by pyproject.toml")
    advice = "Install the versions that pyproject.toml requires into this environment."
    pinned = f"-c {shlex.quote(str(_CONSTRAINTS))} " if _CONSTRAINTS.is_file() else ""
    return Finding("packages", "fail", "; ".join(wrong.values()), advice, f"pip install {pinned}{' '.join(wrong)}")


def check_installation() -> list[Finding]:
    """Check Python and the packages."""
    range_, needed = requirements()
    return [check_python(range_), check_packages(needed)]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
